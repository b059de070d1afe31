// How the page looks and writes, by the person's preferences; until they are known, by the browser's.

import { Store } from "../api/store.js";
import type { Theme } from "../api/types.js";

export interface Appearance {
  theme: Theme;
  language: string;
  timezone: string;
}

const THEME_KEY = "artcafe-console-theme";
const RIGHT_TO_LEFT = new Set(["ar", "dv", "fa", "he", "ps", "ur", "yi"]);
const dark = matchMedia("(prefers-color-scheme: dark)");

export const browserTimezone = Intl.DateTimeFormat().resolvedOptions().timeZone;

export const appearance = new Store<Appearance>({
  theme: savedTheme(),
  language: navigator.language || "en",
  timezone: browserTimezone,
});

export function setAppearance(changes: Partial<Appearance>): void {
  const next = { ...appearance.get(), ...changes };
  if (next.theme === "system") localStorage.removeItem(THEME_KEY);
  else localStorage.setItem(THEME_KEY, next.theme);
  appearance.set(next);
  apply();
}

/** Whether the page is dark now. */
export function isDark(): boolean {
  const { theme } = appearance.get();
  return theme === "system" ? dark.matches : theme === "dark";
}

export function apply(): void {
  const { language } = appearance.get();
  const root = document.documentElement;
  root.dataset["theme"] = isDark() ? "dark" : "light";
  // The texts are in English; numbers, dates and the direction follow the preference.
  root.dir = RIGHT_TO_LEFT.has(language.split("-")[0] ?? "") ? "rtl" : "ltr";
}

dark.addEventListener("change", apply);

function savedTheme(): Theme {
  const saved = localStorage.getItem(THEME_KEY);
  return saved === "light" || saved === "dark" ? saved : "system";
}
