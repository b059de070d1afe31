import type { Activity } from "../../api/types.js";
import { Card } from "../../ui/basics.js";
import { Listed } from "../../ui/more.js";
import { usePages } from "../../ui/pages.js";
import { ActivityTable } from "../activity/activity-table.js";

const MONTH_HOURS = 720;

/** What was done to a client, and its connections. */
export function ClientActivity({ clientId }: { clientId: string }) {
  const list = usePages<Activity>(["activity", "client", clientId], "/activity/logs", "logs", {
    resource: `client:${clientId}`,
    hours: MONTH_HOURS,
  });
  return (
    <Card title="The last 30 days" flush>
      <Listed list={list}>{(entries) => <ActivityTable entries={entries} />}</Listed>
    </Card>
  );
}
