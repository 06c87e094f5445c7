// Starts the page.

import { render } from "preact";
import { createApp } from "./app";
import { Library } from "./library/library";
import { Saved } from "./library/saved";
import { createPage, PageContext } from "./pages/context";
import { Shell } from "./pages/shell";
import "./style.css";

const root = document.getElementById("page");
if (root === null) throw new Error("index.html has no #page");
const app = createApp();
const page = createPage(app, new Library(app.rest), new Saved(app.rest));
render(
  <PageContext.Provider value={page}>
    <Shell />
  </PageContext.Provider>,
  root,
);
