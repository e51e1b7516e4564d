// The stream of news of a site: who is here now, and when reports say something new. A hidden tab
// listens to nothing.
import type { Live } from "./schema";

/**
 * Milliseconds until a stream that the collector closed is opened again. The browser itself does so
 * where the network failed.
 */
const REOPEN = 10_000;

export class News {
  visitors = $state<number | null>(null);
  /** There was a stream, and nothing comes any more: the number is not of now. */
  lost = $state(false);

  /** Listens until the answer is called. */
  follow(path: string, counted: () => void): () => void {
    let stream: EventSource | null = null;
    let missed = false;
    let later: ReturnType<typeof setTimeout> | undefined;
    this.visitors = null;
    this.lost = false;
    const lose = () => {
      this.lost = true;
      this.visitors = null;
    };
    const open = () => {
      clearTimeout(later);
      const opened = (stream = new EventSource(path));
      opened.addEventListener("open", () => {
        // What was counted in between was told to nobody.
        if (this.lost) counted();
        this.lost = false;
      });
      opened.addEventListener(
        "live",
        (event) =>
          (this.visitors = (JSON.parse((event as MessageEvent<string>).data) as Live).visitors),
      );
      opened.addEventListener("counted", counted);
      opened.addEventListener("error", () => {
        lose();
        if (opened.readyState === EventSource.CLOSED && stream === opened)
          later = setTimeout(open, REOPEN);
      });
    };
    const close = () => {
      clearTimeout(later);
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
    const online = () => {
      close();
      turn();
    };
    document.addEventListener("visibilitychange", turn);
    addEventListener("offline", lose);
    addEventListener("online", online);
    turn();
    return () => {
      document.removeEventListener("visibilitychange", turn);
      removeEventListener("offline", lose);
      removeEventListener("online", online);
      close();
    };
  }
}
