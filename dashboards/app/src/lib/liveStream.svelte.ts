// The event stream of a site: the number of active visitors, and a signal when reports have new
// data. Closed while the tab is hidden.
import type { Live } from "./schema";

/**
 * Delay before a stream that the collector closed is opened again. After a network failure the
 * browser reconnects automatically.
 */
const REOPEN_MILLIS = 10_000;

export class LiveStream {
  visitors = $state<number | null>(null);
  /** The stream was lost, so that the number of visitors is unknown. */
  isDisconnected = $state(false);

  /** Opens the stream. The returned function closes it. */
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
        // Events during the interruption were missed.
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
