// The page with which the built SDK is tested in a browser. `board.jsx` is the example of the guide.

import { createElement, StrictMode } from "react";
import { createRoot } from "react-dom/client";

import * as sdk from "@artcafe/client";

import { Board } from "./board.jsx";

let root;
globalThis.sdk = sdk;
globalThis.show = (client, channel) => {
  root = createRoot(document.getElementById("root"));
  root.render(createElement(StrictMode, null, createElement(Board, { client, channel })));
};
globalThis.hide = () => root.unmount();
globalThis.isReady = true;
