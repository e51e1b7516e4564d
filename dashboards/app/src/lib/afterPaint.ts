/** The delay in milliseconds where no frame is painted, such as in a hidden tab. */
const HIDDEN_MILLIS = 250;

/** Runs a task after the next frame is painted. The returned function cancels it. */
export const afterPaint = (task: () => void): (() => void) => {
  let timer = setTimeout(task, HIDDEN_MILLIS);
  const frame = requestAnimationFrame(() => {
    clearTimeout(timer);
    timer = setTimeout(task);
  });
  return () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
};
