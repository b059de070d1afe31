import { useEffect, useMemo, useState } from "preact/hooks";
import { useApi } from "../../api/organization.js";
import { Tail, type Counts, type TailMessage } from "./tail.js";

const DRAW_MS = 100;

export interface TailView {
  messages: TailMessage[];
  counts: Counts;
  perSecond: number;
  /** What the server says against the pattern. */
  problem: string;
  clear: () => void;
}

/** The organization's messages that match a pattern, as they are published. */
export function useTail(pattern: string, sample: number, isPaused: boolean): TailView {
  const { socket } = useApi();
  const tail = useMemo(() => new Tail(), []);
  const [view, setView] = useState({ messages: tail.kept, counts: tail.counts });
  const [perSecond, setPerSecond] = useState(0);
  const [problem, setProblem] = useState("");
  const show = (): void => setView({ messages: tail.kept, counts: { ...tail.counts } });

  useEffect(() => {
    if (isPaused) return;
    setProblem("");
    const stopErrors = socket.on("error", ({ message }) => setProblem(message));
    const stopMessages = socket.on("preview", (text) => tail.push(text));
    socket.setPreview({ pattern: pattern || ">", sample });
    return () => {
      stopErrors();
      stopMessages();
      socket.setPreview(undefined);
    };
  }, [socket, pattern, sample, isPaused]);

  useEffect(() => {
    const drawing = setInterval(() => {
      if (tail.read()) show();
    }, DRAW_MS);
    let before = tail.counts.received;
    const counting = setInterval(() => {
      setPerSecond(Math.max(0, tail.counts.received - before));
      before = tail.counts.received;
    }, 1_000);
    return () => {
      clearInterval(drawing);
      clearInterval(counting);
    };
  }, []);

  return {
    ...view,
    perSecond,
    problem,
    clear: () => {
      tail.clear();
      show();
    },
  };
}
