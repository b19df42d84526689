// Starts the studio: one session, one page.

import { render } from "preact";
import { App } from "./app.js";
import { SAMPLES } from "./samples.js";
import { Session } from "./session.js";
import "./studio.css";

const session = new Session(location.hash);
render(<App session={session} />, document.body);
// The engine is there by then: keeping it for visits without a network asks for nothing twice.
void session
  .loadModel()
  .then(() => {
    if (import.meta.env.PROD) return navigator.serviceWorker?.register("./service-worker.js");
  })
  .catch(() => {}); // private windows may allow none
void session.openSample(SAMPLES[0]!);
