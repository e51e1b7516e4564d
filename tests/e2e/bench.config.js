// What takes time, and is no test of anything else: run alone, on a quiet machine, with the binary
// that is shipped.
import config from "./playwright.config.js";

export default { ...config, projects: [{ name: "bench", testDir: "bench" }], reporter: "line" };
