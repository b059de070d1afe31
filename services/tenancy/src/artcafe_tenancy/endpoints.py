"""The endpoints of tenancy, one class per noun and one method per command."""

from artcafe_tenancy.accounts import AccountEndpoints
from artcafe_tenancy.activity import ActivityEndpoints
from artcafe_tenancy.agents import AgentEndpoints
from artcafe_tenancy.channel_subscriptions import SubscriptionEndpoints
from artcafe_tenancy.channels import ChannelEndpoints
from artcafe_tenancy.clients import ClientEndpoints
from artcafe_tenancy.history_streams import HistoryStreamEndpoints
from artcafe_tenancy.invitations import InvitationEndpoints
from artcafe_tenancy.members import MemberEndpoints
from artcafe_tenancy.profiles import ProfileEndpoints
from artcafe_tenancy.subjects import SubjectEndpoints


class Endpoints(
    AccountEndpoints,
    MemberEndpoints,
    InvitationEndpoints,
    ClientEndpoints,
    AgentEndpoints,
    ChannelEndpoints,
    ActivityEndpoints,
    ProfileEndpoints,
    SubjectEndpoints,
    HistoryStreamEndpoints,
    SubscriptionEndpoints,
):
    """All commands of tenancy's contract."""
