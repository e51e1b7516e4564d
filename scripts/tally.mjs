// One line for both test runs: cargo's own result lines, read from a log, and Playwright's JSON
// report.
import { existsSync, readFileSync } from "node:fs";

const [log, report] = process.argv.slice(2);
const sum = { passed: 0, failed: 0 };
for (const [, passed, failed] of readFileSync(log, "utf8").matchAll(
  /^test result: .*? (\d+) passed; (\d+) failed;/gm,
)) {
  sum.passed += Number(passed);
  sum.failed += Number(failed);
}
if (existsSync(report)) {
  const { expected, unexpected, flaky } = JSON.parse(readFileSync(report)).stats;
  sum.passed += expected + flaky;
  sum.failed += unexpected;
} else {
  console.log("the browser tests did not run");
}
console.log(`${sum.passed} passed, ${sum.failed} failed`);
