// The stream of news of a site: who is here now, and when reports say something new. A hidden tab listens to nothing.
import type { Live } from "./schema";

export class News {
  visitors = $state<number | null>(null);

  /** Listens until the answer is called. */
  follow(path: string, counted: () => void): () => void {
    let stream: EventSource | null = null;
    let missed = false;
    this.visitors = null;
    const open = () => {
      stream = new EventSource(path);
      stream.addEventListener("live", (event) => (this.visitors = (JSON.parse((event as MessageEvent<string>).data) as Live).visitors));
      stream.addEventListener("counted", counted);
    };
    const close = () => {
      stream?.close();
      stream = null;
    };
    const turn = () => {
      if (document.hidden) {
        missed = stream !== null;
        return close();
      }
      if (stream) return;
      open();
      if (missed) counted();
    };
    document.addEventListener("visibilitychange", turn);
    turn();
    return () => {
      document.removeEventListener("visibilitychange", turn);
      close();
    };
  }
}
