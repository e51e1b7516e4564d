// One question and its answer. An answer is shown with what it was asked about: words and numbers
// change together, when the next answer is there. Until then, and where it does not come, the old
// one stays.
import { onDestroy } from "svelte";
import { Problem, read } from "./api";

/**
 * Milliseconds until a question that could not be answered for now is asked again; the last one
 * from then on.
 */
const PATIENCE = [5_000, 10_000, 20_000, 30_000];

export class Asked<T, Q = null> {
  value = $state.raw<T | null>(null);
  /** What the value is an answer to. */
  about = $state.raw<Q | null>(null);
  /** The path it came from. */
  from = $state("");
  problem = $state.raw<Problem | null>(null);
  busy = $state(false);
  #path = $state("");
  #next: Q | null = null;
  #running: AbortController | null = null;
  #tries = 0;
  #later: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    const online = () => this.problem?.isPassing && void this.again();
    addEventListener("online", online);
    onDestroy(() => (removeEventListener("online", online), this.drop()));
  }

  /** The value could not be read again, or is of another question. */
  get stale(): boolean {
    return this.value !== null && (this.problem !== null || this.from !== this.#path);
  }

  /** `forget`: what is there is about something else altogether. True once the answer is there. */
  ask(path: string, about: Q | null = null, forget = false): Promise<boolean> {
    if (forget) this.#forget();
    this.#tries = 0;
    return this.#ask(path, about);
  }

  /** The same question again. */
  again(): Promise<boolean> {
    return this.#path ? this.#ask(this.#path, this.#next) : Promise.resolve(false);
  }

  /** Nothing is asked any more. */
  drop(): void {
    this.#running?.abort();
    this.#running = null;
    clearTimeout(this.#later);
    this.#path = "";
    this.#forget();
    this.busy = false;
  }

  async #ask(path: string, about: Q | null): Promise<boolean> {
    this.#running?.abort();
    clearTimeout(this.#later);
    const running = (this.#running = new AbortController());
    this.#path = path;
    this.#next = about;
    this.busy = true;
    try {
      const value = await read<T>(path, running.signal);
      if (running !== this.#running) return false;
      this.value = value;
      this.about = about;
      this.from = path;
      this.problem = null;
      this.#tries = 0;
    } catch (error) {
      if (running !== this.#running) return false;
      this.problem =
        error instanceof Problem ? error : new Problem(0, "broken", "The answer could not be read");
      if (this.problem.isPassing)
        this.#later = setTimeout(
          () => void this.again(),
          PATIENCE[Math.min(this.#tries++, PATIENCE.length - 1)],
        );
      else this.value = this.about = null; // these numbers are not the answer to this question
    }
    this.busy = false;
    return this.problem === null;
  }

  #forget(): void {
    this.value = this.about = this.problem = null;
    this.from = "";
  }
}
