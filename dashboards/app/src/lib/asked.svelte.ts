// One question and its answer. While a new answer is on its way the old one stays; where it does not come, the old one is stale.
import { Problem, read } from "./api";

export class Asked<T> {
  value = $state.raw<T | null>(null);
  problem = $state.raw<Problem | null>(null);
  busy = $state(false);
  #path = "";
  #running: AbortController | null = null;

  get stale(): boolean {
    return this.problem !== null && this.value !== null;
  }

  /** `forget`: what is there is about something else altogether. */
  async ask(path: string, forget = false): Promise<void> {
    this.#running?.abort();
    const running = (this.#running = new AbortController());
    this.#path = path;
    if (forget) this.value = null;
    this.busy = true;
    try {
      const value = await read<T>(path, running.signal);
      if (running !== this.#running) return;
      this.value = value;
      this.problem = null;
    } catch (error) {
      if (running !== this.#running) return;
      this.problem = error instanceof Problem ? error : new Problem(0, "broken", "The answer could not be read");
      // Not a passing trouble: these numbers are not the answer to this question.
      if (this.problem.status >= 400 && this.problem.status < 500 && this.problem.status !== 429) this.value = null;
    }
    this.busy = false;
  }

  again(): Promise<void> {
    return this.#path ? this.ask(this.#path) : Promise.resolve();
  }

  /** Nothing is asked any more. */
  drop(): void {
    this.#running?.abort();
    this.#running = null;
    this.#path = "";
    this.value = this.problem = null;
    this.busy = false;
  }
}
