/**
 * The port a collector got from the kernel, once it says so; `child` must have its standard error
 * piped.
 */
export const listening = (child) =>
  new Promise((done, fail) => {
    let said = "";
    child.stderr.on("data", (bytes) => {
      said += bytes;
      const port = /listening address=127\.0\.0\.1:(\d+)\n/.exec(said)?.[1];
      if (port) done(Number(port));
    });
    child.once("close", (code) =>
      fail(new Error(`the collector did not start (exit ${code}):\n${said}`)),
    );
    child.once("error", fail);
  });
