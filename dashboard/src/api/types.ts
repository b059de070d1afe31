// The bodies of the REST API and the frames of the dashboard's WebSocket, as far as the console reads them.

export type Role = "owner" | "admin" | "member" | "viewer";
export type Status = "online" | "offline" | "suspended";
export type Health = "healthy" | "degraded" | "unhealthy" | "unknown";
export type Json = unknown;

export interface Tokens {
  access_token: string;
  expires_in: number;
  user_id: string;
}

export interface Limits {
  clients: number | null;
  channels: number | null;
  messages_per_month: number | null;
  connections: number | null;
  api_calls_per_minute: number | null;
  storage_bytes: number | null;
}

export interface Account {
  account_id: string;
  name: string;
  description: string;
  status: string;
  plan: string;
  role: Role;
  limits: Limits;
  created_at: string;
  updated_at: string;
  deletion_at: string | null;
}

export interface Organization {
  account_id: string;
  name: string;
  role: Role;
  plan: string;
}

export interface Profile {
  user_id: string;
  email: string;
  name: string;
  organizations: Organization[];
}

export type Theme = "light" | "dark" | "system";

export interface Preferences {
  theme: Theme;
  language: string;
  timezone: string;
  notifications: Record<string, boolean>;
  updated_at: string | null;
}

export interface Member {
  user_id: string;
  email: string;
  name: string;
  role: Role;
  created_at: string;
}

export interface SigningKey {
  nkey_public: string;
  issued_by: string;
  issued_at: string;
}

export interface AccountKey {
  nkey_public: string;
  nkey_seed: string;
}

export type StreamAccess = "none" | "read" | "manage";

export interface Permissions {
  publish: string[];
  subscribe: string[];
  streams: StreamAccess;
}

export interface Client {
  client_id: string;
  name: string;
  nkey_public: string;
  permissions: Permissions;
  status: Status;
  last_seen: string | null;
  metadata: Record<string, Json>;
  created_at: string;
  updated_at: string;
}

export interface ClientWithSeed {
  client: Client;
  nkey_seed: string;
  connection: {
    nats_url: string;
    nats_ws_url: string;
    websocket_url: string;
    subject_prefix: string;
    inbox_prefix: string;
  };
}

export interface Connection {
  connection_id: string;
  transport: "websocket" | "nats";
  server: string;
  connected_at: string;
  last_seen: string;
  ip: string;
}

export interface ClientReport {
  client_id: string;
  name: string;
  status: Status;
  health: Health;
  last_seen: string | null;
  connections: Connection[];
  metrics: Record<string, Json> | null;
  traffic: Record<string, Json> | null;
  metadata: Record<string, Json> | null;
}

export interface RosterEntry {
  client_id: string;
  kind: "client" | "agent";
  name: string;
  status: Status;
  health: Health;
  last_seen: string | null;
}

export interface PermissionExplanation {
  allowed: boolean;
  pattern: string | null;
  why: string;
}

export interface Channel {
  channel_id: string;
  name: string;
  description: string;
  subject: string;
  has_history: boolean;
  created_at: string;
  updated_at: string;
}

export interface Subscriber {
  client_id: string;
  connections: number;
  subscribed_at: string | null;
}

export interface Retention {
  max_age_s: number | null;
  max_messages: number | null;
  max_bytes: number;
}

export interface SubjectRecord {
  subject_id: string;
  name: string;
  pattern: string;
  retention: Retention;
  status: "pending" | "active" | "refused";
  description: string;
  created_at: string;
}

export interface StoredMessage {
  seq: number;
  subject: string;
  channel?: string;
  data: Json;
  timestamp: string;
  from?: string;
  message_id?: string;
  headers?: Record<string, string>;
}

export interface Accepted {
  message_id: string;
  subject: string;
  seq?: number;
}

export interface Traffic {
  messages: number;
  deliveries: number;
  bytes_in: number;
  bytes_out: number;
}

export interface Counts extends Traffic {
  api_calls: number;
  connection_minutes: number;
}

export interface DayUsage extends Counts {
  date: string;
  active_clients: number;
  active_channels: number;
}

export interface UsageMetrics {
  daily: DayUsage[];
  totals: Counts;
  limits: Limits;
}

export interface LimitUse {
  used: number;
  limit: number | null;
  percent: number | null;
  projected?: number;
}

export interface CurrentUsage {
  period_start: string;
  period_end: string;
  plan: string;
  messages: LimitUse;
  deliveries: number;
  bytes_in: number;
  bytes_out: number;
  api_calls: number;
  clients: LimitUse;
  channels: LimitUse;
  connections: LimitUse;
  storage_bytes: LimitUse;
}

export type HourUsage = Traffic & { hour: string; api_calls: number };
export type MinuteUsage = Traffic & { minute: string; api_calls: number };

export interface LiveUsage {
  today: Counts;
  hours: HourUsage[];
  minutes: MinuteUsage[];
  clients: (Traffic & { client_id: string })[];
  channels: (Traffic & { channel_id: string })[];
}

export interface ItemUsage {
  daily: (Traffic & { date: string })[];
  totals: Traffic;
}

export interface Activity {
  activity_id: string;
  type: string;
  status: "success" | "denied" | "warning";
  action: string;
  actor: string;
  actor_name: string;
  resource: string;
  ip: string;
  user_agent: string;
  metadata: Record<string, Json>;
  timestamp: string;
}

export interface PlatformStatus {
  status: string;
  version: string;
  services: { name: string; status: string }[];
  stores: { name: string; status: string }[];
  history: string;
  findings: { check: string; status: "warn" | "fail"; detail: string; remedy: string }[];
}

export interface Refusals {
  hourly: { hour: string; codes: Record<string, number> }[];
  totals: Record<string, number>;
}

export type RankedUsage = Traffic & { id: string };

export interface InspectedConnection extends Connection {
  inspected: boolean;
  age_s: number;
  idle_s: number | null;
  queued_bytes: number | null;
  subscription_count: number | null;
  subscriptions: string[];
  errors: { code: string; at: string }[];
  messages_in: number | null;
  messages_out: number | null;
  library: string;
}

export interface ChannelStorage {
  has_history: boolean;
  messages: number;
  last_minute: number;
  max_messages: number;
  first_seq: number | null;
  last_seq: number | null;
  first_at: string | null;
  last_at: string | null;
}

export interface Invitation {
  invitation_id: string;
  email: string;
  role: Role;
  invited_by_name: string;
  expires_at: string;
}

export interface ReceivedInvitation {
  invitation_id: string;
  account_name: string;
  role: Role;
  invited_by_name: string;
}

export interface PreviewMessage {
  subject: string;
  data: Json;
  size: number;
  timestamp: string;
  dropped?: number;
  from?: string;
  headers?: Record<string, string>;
}

export interface PresenceFrame {
  type: "presence";
  client_id: string;
  name: string | null;
  status: Status;
  health: Health;
  last_seen: string;
}

export interface ActivityFrame {
  type: "activity";
  activity: Activity;
}

/** A page of a list whose plural is not known to the compiler. */
export interface AnyPage {
  next_cursor: string | null;
  [plural: string]: unknown;
}

export type Page<Name extends string, Item> = Record<Name, Item[]> & { next_cursor: string | null };
