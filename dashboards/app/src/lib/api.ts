// Requests to the collector's API. Its responses contain strings from untrusted clients: they are
// shown as text, never as markup.
import { takeEarlyRequest } from "./earlyRequest";
import type { Problem as ProblemBody, Session } from "./schema";

/** An error response of the API (RFC 9457), or a network failure. */
export class ApiProblem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail = "",
  ) {
    super(title);
  }
  /** Whether a retry may succeed. */
  get isTransient(): boolean {
    return this.status < 400 || this.status >= 500 || this.status === 429;
  }
}

const UNREACHABLE = new ApiProblem(
  0,
  "unreachable",
  "The collector cannot be reached",
  "Check the connection, then try again.",
);
let csrf = "";

/** Throws an `ApiProblem` unless the request succeeds, or its `AbortError`. */
const checkResponse = async (request: Promise<Response>): Promise<Response> => {
  const response = await request.catch((error: unknown) => {
    throw error instanceof DOMException && error.name === "AbortError" ? error : UNREACHABLE;
  });
  if (response.ok) return response;
  const said = (await response.json().catch(() => null)) as ProblemBody | null;
  throw new ApiProblem(
    response.status,
    said?.code ?? "unknown",
    said?.title ?? "Unexpected response from the collector",
    said?.detail,
  );
};

const sendRequest = (path: string, init: RequestInit): Promise<Response> =>
  checkResponse(fetch(path, { credentials: "same-origin", ...init }));

export const fetchJson = async <T>(path: string, signal?: AbortSignal): Promise<T> => {
  const early = takeEarlyRequest(path, signal);
  const response = await (early
    ? checkResponse(early)
    : sendRequest(path, signal ? { signal } : {}));
  return response.json() as Promise<T>;
};

/** Sends a change, with the CSRF token of the session. */
export const sendJson = async <T = void>(
  method: "POST" | "PUT" | "DELETE",
  path: string,
  body?: unknown,
): Promise<T> => {
  const headers: Record<string, string> = csrf ? { "X-CSRF-Token": csrf } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await sendRequest(path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return (response.status === 204 ? undefined : await response.json()) as T;
};

const storeCsrf = (session: Session): Session => {
  csrf = session.csrf ?? "";
  return session;
};
export const fetchSession = async (): Promise<Session> =>
  storeCsrf(await fetchJson<Session>("/api/v1/session"));
export const signIn = async (user: string, password: string): Promise<Session> =>
  storeCsrf(await sendJson<Session>("POST", "/api/v1/session", { user, password }));
export const signOut = (): Promise<void> => sendJson("DELETE", "/api/v1/session");
