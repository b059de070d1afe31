// Which organization this tab shows, for when it is loaded again; only its id, and only until another is chosen.

const KEY = "artcafe-console-organization";

export function rememberOrganization(accountId: string): void {
  sessionStorage.setItem(KEY, accountId);
}

export function lastOrganization(): string {
  return sessionStorage.getItem(KEY) ?? "";
}

export function forgetOrganization(): void {
  sessionStorage.removeItem(KEY);
}
