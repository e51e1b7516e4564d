// Asking the collector. Whatever it answers was once sent by a stranger: it is shown as text, never
// as markup.
import type { Problem as Said, Session } from "./schema";

/** What went wrong, as far as the collector or the network said. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail = "",
  ) {
    super(title);
  }
  /** The same question may be answered later. */
  get isPassing(): boolean {
    return this.status < 400 || this.status >= 500 || this.status === 429;
  }
}

const OFFLINE = new Problem(
  0,
  "unreachable",
  "The collector cannot be reached",
  "Check the connection, then try again.",
);
let csrf = "";

const send = async (path: string, init: RequestInit): Promise<Response> => {
  const answer = await fetch(path, { credentials: "same-origin", ...init }).catch(
    (error: unknown) => {
      throw error instanceof DOMException && error.name === "AbortError" ? error : OFFLINE;
    },
  );
  if (answer.ok) return answer;
  const said = (await answer.json().catch(() => null)) as Said | null;
  throw new Problem(
    answer.status,
    said?.code ?? "unknown",
    said?.title ?? "The collector did not answer as expected",
    said?.detail,
  );
};

export const read = async <T>(path: string, signal?: AbortSignal): Promise<T> =>
  (await send(path, signal ? { signal } : {})).json() as Promise<T>;

/** A change: with what proves that it comes from this page. */
export const write = async <T = void>(
  method: "POST" | "PUT" | "DELETE",
  path: string,
  body?: unknown,
): Promise<T> => {
  const headers: Record<string, string> = csrf ? { "X-CSRF-Token": csrf } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await send(path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return (answer.status === 204 ? undefined : await answer.json()) as T;
};

const kept = (session: Session): Session => {
  csrf = session.csrf ?? "";
  return session;
};
export const session = async (): Promise<Session> => kept(await read<Session>("/api/v1/session"));
export const signIn = async (user: string, password: string): Promise<Session> =>
  kept(await write<Session>("POST", "/api/v1/session", { user, password }));
export const signOut = (): Promise<void> => write("DELETE", "/api/v1/session");

/** A path with its parts and query escaped. */
export const api = (parts: TemplateStringsArray, ...values: string[]): string =>
  parts.reduce((path, part, i) => path + encodeURIComponent(values[i - 1] ?? "") + part);
