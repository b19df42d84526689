// Starts the studio: one session, one page.

import { render } from "preact";
import { App } from "./app.js";
import { SAMPLES } from "./samples.js";
import { Session } from "./session.js";
import "./studio.css";

const session = new Session(location.hash);
render(<App session={session} />, document.body);
void session.loadModel();
void session.openSample(SAMPLES[0]!);
