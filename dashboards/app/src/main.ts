// Selects the page by path. All pages but the dashboard are loaded on demand.
import "./start";
import { flushSync, mount, type Component } from "svelte";
import "./app.css";
import { dropEarlyRequest } from "./lib/earlyRequest";
import Dashboard from "./pages/Dashboard.svelte";

const loadPage = async (): Promise<Component> => {
  if (location.pathname === "/login") return (await import("./pages/Login.svelte")).default;
  if (location.pathname === "/platform")
    return (await import("./platform/Platform.svelte")).default;
  if (location.pathname.startsWith("/share/"))
    return (await import("./pages/SharedReport.svelte")).default;
  return Dashboard;
};

const target = document.getElementById("app");
if (target)
  void loadPage().then((Page) => {
    mount(Page, { target });
    flushSync(); // the page sends its first requests
    dropEarlyRequest();
  });
