import { useState } from "preact/hooks";
import type { ClientWithSeed } from "../../api/types.js";
import { Code, CopyButton, Note, saveAs } from "../../ui/basics.js";
import { Dialog } from "../../ui/dialog.js";
import { Segments } from "../../ui/forms.js";
import { Icon } from "../../ui/icon.js";
import { LANGUAGES, snippet, type Language } from "./snippets.js";

/** Shows a seed once, with ways to keep it and to use it. */
export function SeedDialog({
  created,
  isNew,
  onClose,
}: {
  created: ClientWithSeed;
  isNew: boolean;
  onClose: () => void;
}) {
  const [language, setLanguage] = useState<Language>("python");
  const { client, nkey_seed: seed } = created;
  const file = `${client.name.replace(/[^\w.-]+/g, "-").toLowerCase()}.seed`;
  return (
    <Dialog title={isNew ? `${client.name} is created` : `${client.name} has a new key`} onClose={onClose} wide>
      <div class="dialog-body">
        <Note tone="warn" icon="key-round">
          This seed is the client's private key. It is shown only now and stored nowhere: keep it before you close this.
        </Note>
        <div class="stack tight">
          <Code text={seed} label="Seed" />
          <div class="row wrap">
            <CopyButton text={seed} label="Copy the seed" small={false} />
            <button type="button" class="button" onClick={() => saveAs(file, "text/plain", `${seed}\n`)}>
              <Icon name="download" size={14} /> Download {file}
            </button>
          </div>
        </div>
        <div class="stack tight">
          <div class="row between wrap">
            <h3>Start it</h3>
            <Segments
              label="Language"
              value={language}
              options={LANGUAGES}
              onChange={(value) => setLanguage(value as Language)}
            />
          </div>
          <Code text={snippet(language, created, file)} label="Program" />
        </div>
      </div>
      <div class="dialog-foot">
        <button type="button" class="button primary" onClick={onClose}>
          I have kept the seed
        </button>
      </div>
    </Dialog>
  );
}
