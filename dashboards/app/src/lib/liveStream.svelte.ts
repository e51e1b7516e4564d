// The stream of news of a site: who is here now, and when reports say something new. A hidden tab
// listens to nothing.
import type { Live } from "./schema";

/**
 * Milliseconds until a stream that the collector closed is opened again. The browser itself does so
 * where the network failed.
 */
const REOPEN_MILLIS = 10_000;

export class LiveStream {
  visitors = $state<number | null>(null);
  /** There was a stream, and nothing comes any more: the number is not of now. */
  isDisconnected = $state(false);

  /** Listens until the answer is called. */
  subscribe(path: string, onCounted: () => void): () => void {
    let stream: EventSource | null = null;
    let hasMissed = false;
    let reopenTimer: ReturnType<typeof setTimeout> | undefined;
    this.visitors = null;
    this.isDisconnected = false;
    const markDisconnected = () => {
      this.isDisconnected = true;
      this.visitors = null;
    };
    const openStream = () => {
      clearTimeout(reopenTimer);
      const source = (stream = new EventSource(path));
      source.addEventListener("open", () => {
        // What was counted in between was told to nobody.
        if (this.isDisconnected) onCounted();
        this.isDisconnected = false;
      });
      source.addEventListener(
        "live",
        (event) =>
          (this.visitors = (JSON.parse((event as MessageEvent<string>).data) as Live).visitors),
      );
      source.addEventListener("counted", onCounted);
      source.addEventListener("error", () => {
        markDisconnected();
        if (source.readyState === EventSource.CLOSED && stream === source)
          reopenTimer = setTimeout(openStream, REOPEN_MILLIS);
      });
    };
    const closeStream = () => {
      clearTimeout(reopenTimer);
      stream?.close();
      stream = null;
    };
    const updateVisibility = () => {
      if (document.hidden) {
        hasMissed = stream !== null;
        return closeStream();
      }
      if (stream) return;
      openStream();
      if (hasMissed) onCounted();
    };
    const reconnect = () => {
      closeStream();
      updateVisibility();
    };
    document.addEventListener("visibilitychange", updateVisibility);
    addEventListener("offline", markDisconnected);
    addEventListener("online", reconnect);
    updateVisibility();
    return () => {
      document.removeEventListener("visibilitychange", updateVisibility);
      removeEventListener("offline", markDisconnected);
      removeEventListener("online", reconnect);
      closeStream();
    };
  }
}
