// The request of the report that start.ts sends while the rest of the page is being loaded.
let early: { path: string; response: Promise<Response>; controller: AbortController } | null = null;

export const sendEarlyRequest = (path: string): void => {
  const controller = new AbortController();
  const response = fetch(path, { credentials: "same-origin", signal: controller.signal }).then(
    (received) => {
      // The body is read at once, too.
      const body = received.json();
      body.catch(() => {});
      received.json = () => body;
      return received;
    },
  );
  // The failure is for the one who takes the response.
  response.catch(() => {});
  early = { path, response, controller };
};

/** The response of the early request, once, if it was for this path. */
export const takeEarlyRequest = (path: string, signal?: AbortSignal): Promise<Response> | null => {
  if (early?.path !== path) return null;
  const { response, controller } = early;
  early = null;
  if (signal?.aborted) controller.abort();
  signal?.addEventListener("abort", () => controller.abort());
  return response;
};

/** Cancels the early request if nothing took it, so that no later load gets its old response. */
export const dropEarlyRequest = (): void => {
  early?.controller.abort();
  early = null;
};
