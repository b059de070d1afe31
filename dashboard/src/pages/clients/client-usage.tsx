import { useQuery } from "@tanstack/preact-query";
import { useApi } from "../../api/organization.js";
import type { ItemUsage } from "../../api/types.js";
import { utcDate } from "../../app/format.js";
import { Card } from "../../ui/basics.js";
import { Loaded } from "../../ui/states.js";
import { DayTable, DayChart } from "../usage/days.js";

const DAYS = 30;

export function ClientUsage({ clientId }: { clientId: string }) {
  const api = useApi();
  const usage = useQuery({
    queryKey: ["usage-client", clientId],
    queryFn: ({ signal }) =>
      api.get<ItemUsage>(`/usage/clients/${clientId}`, { start_date: utcDate(DAYS - 1), end_date: utcDate() }, signal),
  });
  return (
    <Loaded query={usage}>
      {(data) => (
        <>
          <Card title="Messages by day (UTC)">
            <DayChart days={data.daily} />
          </Card>
          <Card title={`The last ${DAYS} days`} flush>
            <DayTable days={data.daily} />
          </Card>
        </>
      )}
    </Loaded>
  );
}
