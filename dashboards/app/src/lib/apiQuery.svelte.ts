// A request and its response as reactive state. The response is kept together with its subject, so
// that texts and numbers change at the same time. While the next request runs, and if it fails with
// a transient error, the previous response stays.
import { onDestroy } from "svelte";
import { ApiProblem, fetchJson } from "./api";

/**
 * Delays before retries after a transient error, in milliseconds; the last one repeats.
 */
const RETRY_MILLIS = [5_000, 10_000, 20_000, 30_000];

export class ApiQuery<T, Q = null> {
  value = $state.raw<T | null>(null);
  /** The subject that the value was loaded for. */
  subject = $state.raw<Q | null>(null);
  /** The path that the value was loaded from. */
  loadedPath = $state("");
  problem = $state.raw<ApiProblem | null>(null);
  isLoading = $state(false);
  #path = $state("");
  #nextSubject: Q | null = null;
  #controller: AbortController | null = null;
  #attempts = 0;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    const retryOnline = () => this.problem?.isTransient && void this.reload();
    addEventListener("online", retryOnline);
    onDestroy(() => (removeEventListener("online", retryOnline), this.clear()));
  }

  /** Whether reloading failed, or the value belongs to another path than the one requested last. */
  get isStale(): boolean {
    return this.value !== null && (this.problem !== null || this.loadedPath !== this.#path);
  }

  /** Loads a path. `reset` discards the current value first. Resolves to whether it succeeded. */
  load(path: string, subject: Q | null = null, reset = false): Promise<boolean> {
    if (reset) this.#reset();
    this.#attempts = 0;
    return this.#run(path, subject);
  }

  /** Repeats the last request. */
  reload(): Promise<boolean> {
    return this.#path ? this.#run(this.#path, this.#nextSubject) : Promise.resolve(false);
  }

  /** Cancels the request and its retries, and discards the value. */
  clear(): void {
    this.#controller?.abort();
    this.#controller = null;
    clearTimeout(this.#retryTimer);
    this.#path = "";
    this.#reset();
    this.isLoading = false;
  }

  async #run(path: string, subject: Q | null): Promise<boolean> {
    this.#controller?.abort();
    clearTimeout(this.#retryTimer);
    const controller = (this.#controller = new AbortController());
    this.#path = path;
    this.#nextSubject = subject;
    this.isLoading = true;
    try {
      const value = await fetchJson<T>(path, controller.signal);
      if (controller !== this.#controller) return false;
      this.value = value;
      this.subject = subject;
      this.loadedPath = path;
      this.problem = null;
      this.#attempts = 0;
    } catch (error) {
      if (controller !== this.#controller) return false;
      this.problem =
        error instanceof ApiProblem
          ? error
          : new ApiProblem(0, "broken", "The response could not be read");
      if (this.problem.isTransient)
        this.#retryTimer = setTimeout(
          () => void this.reload(),
          RETRY_MILLIS[Math.min(this.#attempts++, RETRY_MILLIS.length - 1)],
        );
      else this.value = this.subject = null; // the old value does not belong to this path
    }
    this.isLoading = false;
    return this.problem === null;
  }

  #reset(): void {
    this.value = this.subject = this.problem = null;
    this.loadedPath = "";
  }
}
