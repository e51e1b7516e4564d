// Runs before the rest of the page is loaded: sends the request that the first number waits for. See
// tools/start.mjs.
import { sendEarlyRequest } from "./lib/earlyRequest";
import { reportPath } from "./lib/paths";
import { parseView } from "./lib/view";

const path = location.pathname === "/" && reportPath(parseView(location.search));
if (path) sendEarlyRequest(path);
