import { useQuery, useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { useApi } from "../../api/organization.js";
import type { SubjectRecord } from "../../api/types.js";
import { Card, Note, PageHead, StatusBadge } from "../../ui/basics.js";
import { Confirm, FormDialog } from "../../ui/dialog.js";
import { Icon } from "../../ui/icon.js";
import { Failed, Loading } from "../../ui/states.js";
import { toast } from "../../ui/toasts.js";
import { retentionWords } from "./channels.js";
import { RetentionFields } from "./create.js";
import { History } from "./history.js";

export function SubjectPage({ id }: { id: string }) {
  const api = useApi();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [dialog, setDialog] = useState<"edit" | "delete">();
  const subject = useQuery({
    queryKey: ["subject", id],
    queryFn: ({ signal }) => api.get<SubjectRecord>(`/subjects/${id}`, {}, signal),
    refetchInterval: (query) => (query.state.data?.status === "pending" ? 1_000 : false),
  });
  const back = (
    <Link href="/channels?kind=subjects" class="row small muted">
      <Icon name="arrow-left" size={14} /> Stored subjects
    </Link>
  );
  if (!subject.data) {
    return (
      <div class="page">
        {back}
        {subject.isPending ? <Loading rows={8} /> : <Failed error={subject.error} retry={subject.refetch} />}
      </div>
    );
  }
  const shown = subject.data;
  const close = (): void => setDialog(undefined);
  return (
    <div class="page">
      {back}
      <PageHead
        title={shown.name}
        text={
          <span class="row wrap">
            <StatusBadge status={shown.status} /> <code>{shown.pattern}</code>
          </span>
        }
      >
        <Link href={`/live?pattern=${encodeURIComponent(shown.pattern)}`} class="button">
          <Icon name="radio" size={14} /> Live tail
        </Link>
        {api.may("member") && (
          <>
            <button type="button" class="button" onClick={() => setDialog("edit")}>
              Change the retention
            </button>
            <button type="button" class="button danger" onClick={() => setDialog("delete")}>
              Delete
            </button>
          </>
        )}
      </PageHead>
      {shown.status === "refused" && (
        <Note tone="bad">The broker refused to store this pattern. Another subject may store it already, or the storage is used up.</Note>
      )}
      <Card title="Retention">
        Messages are kept {retentionWords(shown)}; the first limit that is reached removes the oldest.
      </Card>
      <History path={`/subjects/${id}/messages`} queryKey={["history", id]} from={shown.created_at} isKept />
      {dialog === "edit" && <EditRetention subject={shown} onClose={close} />}
      {dialog === "delete" && (
        <Confirm
          title={`Delete ${shown.name}?`}
          submit="Delete with its messages"
          typed={shown.name}
          consequences={[
            "Its stored messages are deleted; this cannot be undone.",
            "Clients go on publishing and subscribing to these subjects; only nothing is stored any more.",
          ]}
          onClose={close}
          onConfirm={async () => {
            await api.delete(`/subjects/${id}`);
            void queries.invalidateQueries({ queryKey: ["subjects"] });
            toast(`${shown.name} is deleted.`);
            navigate("/channels?kind=subjects");
          }}
        />
      )}
    </div>
  );
}

function EditRetention({ subject, onClose }: { subject: SubjectRecord; onClose: () => void }) {
  const api = useApi();
  const queries = useQueryClient();
  const [retention, setRetention] = useState(subject.retention);
  return (
    <FormDialog
      title="Change the retention"
      submit="Save"
      onClose={onClose}
      onSubmit={async () => {
        const saved = await api.put<SubjectRecord>(`/subjects/${subject.subject_id}`, { retention });
        queries.setQueryData(["subject", subject.subject_id], saved);
        onClose();
      }}
    >
      <Note tone="warn">Messages that are over the new limits are deleted.</Note>
      <RetentionFields value={retention} onChange={setRetention} />
    </FormDialog>
  );
}
