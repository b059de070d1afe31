import { useApi } from "../api/organization.js";
import type { Organization } from "../api/types.js";
import { Icon } from "../ui/icon.js";
import { Menu } from "../ui/menu.js";

/** Shows the organization, and switches to another one. */
export function OrganizationMenu({
  organizations,
  onSwitch,
}: {
  organizations: Organization[];
  onSwitch: (organization: Organization | undefined) => void;
}) {
  const { organization } = useApi();
  const items = organizations.map((each) => ({
    isCurrent: each.account_id === organization.account_id,
    label: (
      <>
        <span class="grow truncate">{each.name}</span>
        {each.account_id === organization.account_id && <Icon name="check" />}
      </>
    ),
    onSelect: () => {
      if (each.account_id !== organization.account_id) onSwitch(each);
    },
  }));
  return (
    <Menu
      isWide
      buttonClass="organization"
      button={
        <>
          <span class="avatar square" aria-hidden="true">
            {organization.name.slice(0, 1).toUpperCase()}
          </span>
          <span class="grow truncate">
            <strong>{organization.name}</strong>
            <br />
            <span class="faint small">{organization.plan} plan</span>
          </span>
          <Icon name="chevrons-up-down" size={14} />
        </>
      }
      items={[
        ...items,
        {
          label: (
            <>
              <Icon name="plus" /> New organization
            </>
          ),
          onSelect: () => onSwitch(undefined),
        },
      ]}
    />
  );
}
