import { render } from "preact";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/components.css";
import "./styles/surfaces.css";
import "./styles/tables.css";
import "./styles/overlays.css";
import "./styles/live.css";
import { App } from "./app/app.js";
import { apply } from "./app/preferences.js";

apply();
const root = document.getElementById("app");
if (root) render(<App />, root);
