import { useQuery, useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import type { Preferences, Profile, Theme } from "../../api/types.js";
import { dateTime } from "../../app/format.js";
import { browserTimezone, setAppearance } from "../../app/preferences.js";
import { Card, Note } from "../../ui/basics.js";
import { Segments, Select, TextField } from "../../ui/forms.js";
import { Loaded, messageOf } from "../../ui/states.js";
import { toast } from "../../ui/toasts.js";

const THEMES = [
  { value: "system", label: "System" },
  { value: "light", label: "Light" },
  { value: "dark", label: "Dark" },
];
// How numbers and dates are written, and in which direction the page is read.
const LANGUAGES = ["en", "en-GB", "de", "fr", "es", "pt-BR", "it", "nl", "pl", "sv", "ja", "ko", "zh-CN", "ar", "he", "fa"];

export function PersonSettings() {
  const api = useApi();
  const profile = useQuery({ queryKey: ["profile"], queryFn: () => api.get<Profile>("/profile/me") });
  const preferences = useQuery({
    queryKey: ["preferences"],
    queryFn: () => api.get<Preferences>("/profile/preferences"),
  });
  return (
    <div class="grid-2">
      <Loaded query={profile}>{(data) => <ProfileForm profile={data} />}</Loaded>
      <Loaded query={preferences}>{(data) => <PreferencesForm preferences={data} />}</Loaded>
    </div>
  );
}

function ProfileForm({ profile }: { profile: Profile }) {
  const api = useApi();
  const queries = useQueryClient();
  const [name, setName] = useState(profile.name);
  const [error, setError] = useState<unknown>();
  const save = (event: SubmitEvent): void => {
    event.preventDefault();
    setError(undefined);
    api
      .put("/profile/me", { name: name.trim() })
      .then(() => {
        void queries.invalidateQueries({ queryKey: ["profile"] });
        toast("Your profile is saved.");
      })
      .catch(setError);
  };
  return (
    <Card title="Profile">
      <form class="stack" onSubmit={save}>
        <TextField label="Name" required maxLength={100} value={name} onChange={setName} />
        <TextField label="E-mail address" disabled value={profile.email} onChange={() => undefined} />
        {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
        <div>
          <button type="submit" class="button primary" disabled={!name.trim() || name === profile.name}>
            Save
          </button>
        </div>
      </form>
    </Card>
  );
}

function PreferencesForm({ preferences }: { preferences: Preferences }) {
  const api = useApi();
  const queries = useQueryClient();
  const [error, setError] = useState<unknown>();
  const timezone = preferences.updated_at ? preferences.timezone : browserTimezone;
  const save = (changes: Partial<Preferences>): void => {
    setError(undefined);
    api
      .put<Preferences>("/profile/preferences", { timezone, ...changes })
      .then((saved) => {
        queries.setQueryData(["preferences"], saved);
        setAppearance({ theme: saved.theme, language: saved.language, timezone: saved.timezone });
      })
      .catch(setError);
  };
  return (
    <Card title="Preferences">
      <div class="stack">
        <div class="field">
          <span class="label">Colors</span>
          <div>
            <Segments
              label="Colors"
              value={preferences.theme}
              options={THEMES}
              onChange={(theme) => save({ theme: theme as Theme })}
            />
          </div>
        </div>
        <Select
          label="Numbers, dates and direction as in"
          value={preferences.language}
          options={withOwn(LANGUAGES, preferences.language).map((value) => ({ value, label: languageName(value) }))}
          onChange={(language) => save({ language })}
        />
        <Select
          label="Time zone"
          value={timezone}
          options={withOwn(Intl.supportedValuesOf("timeZone"), timezone).map((value) => ({ value, label: value }))}
          onChange={(chosen) => save({ timezone: chosen })}
        />
        <p class="small faint">Now: {dateTime(Date.now())}</p>
        {error !== undefined && <Note tone="bad">{messageOf(error)}</Note>}
      </div>
    </Card>
  );
}

function withOwn(values: string[], own: string): string[] {
  return values.includes(own) ? values : [own, ...values];
}

function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}
