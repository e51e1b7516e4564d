// One question and its answer. An answer is shown with what it was asked about: words and numbers
// change together, when the next answer is there. Until then, and where it does not come, the old
// one stays.
import { onDestroy } from "svelte";
import { ApiProblem, fetchJson } from "./api";

/**
 * Milliseconds until a question that could not be answered for now is asked again; the last one
 * from then on.
 */
const RETRY_MILLIS = [5_000, 10_000, 20_000, 30_000];

export class ApiQuery<T, Q = null> {
  value = $state.raw<T | null>(null);
  /** What the value is an answer to. */
  subject = $state.raw<Q | null>(null);
  /** The path it came from. */
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

  /** The value could not be read again, or is of another question. */
  get isStale(): boolean {
    return this.value !== null && (this.problem !== null || this.loadedPath !== this.#path);
  }

  /** `forget`: what is there is about something else altogether. True once the answer is there. */
  load(path: string, subject: Q | null = null, reset = false): Promise<boolean> {
    if (reset) this.#reset();
    this.#attempts = 0;
    return this.#run(path, subject);
  }

  /** The same question again. */
  reload(): Promise<boolean> {
    return this.#path ? this.#run(this.#path, this.#nextSubject) : Promise.resolve(false);
  }

  /** Nothing is asked any more. */
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
          : new ApiProblem(0, "broken", "The answer could not be read");
      if (this.problem.isTransient)
        this.#retryTimer = setTimeout(
          () => void this.reload(),
          RETRY_MILLIS[Math.min(this.#attempts++, RETRY_MILLIS.length - 1)],
        );
      else this.value = this.subject = null; // these numbers are not the answer to this question
    }
    this.isLoading = false;
    return this.problem === null;
  }

  #reset(): void {
    this.value = this.subject = this.problem = null;
    this.loadedPath = "";
  }
}
