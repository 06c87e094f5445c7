// Starts the page.

import { render } from "preact";
import { createApp } from "./app";
import { Library } from "./library/library";
import { Saved } from "./library/saved";
import { createPage, PageContext } from "./pages/context";
import { Shell } from "./pages/shell";
import { becomeTab } from "./session/device";
import { takePlace } from "./session/tab";
import { installShell } from "./install";
import "./style.css";

const root = document.getElementById("page");
if (root === null) throw new Error("index.html has no #page");
becomeTab(await takePlace());
const app = createApp();
const page = createPage(app, new Library(app.rest), new Saved(app.rest));
render(
  <PageContext.Provider value={page}>
    <Shell />
  </PageContext.Provider>,
  root,
);
installShell();
