#!/usr/bin/env bash
# Deploys a revision to the hosts, one after another, through AWS Systems Manager. Each host checks itself, restarts its
# services, waits until they say that they run the new revision, and rolls back by itself if they do not. The first host
# that fails ends the deployment; the hosts before it keep the new revision.
#
#   deploy/ec2/deploy.sh --bucket BUCKET [OPTION…] REVISION|TARBALL
#
# REVISION is a git revision of this repository; TARBALL is a .tar.gz of a source tree.
#   --bucket BUCKET     where the source is uploaded, under releases/; hosts need no access to it
#   --hosts "ID …"      instance ids (default: the running instances with the tag)
#   --tag NAME=VALUE    the tag of the hosts (default: Service=artcafe)
#   --name NAME         the revision's name on the hosts (default: git's, or a checksum of the tarball)
#   --roll-back         REVISION is a release that the hosts have already, such as the one before: nothing is uploaded
#   --timeout SECONDS   how long one host may take (default: 900)
#
# Needs the AWS command line and the policy DeployerPolicy of cloudformation.yaml.
set -euo pipefail
POLL_S=${ARTCAFE_POLL_S:-3}
URL_VALID_S=3600

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
fail() { echo "deploy.sh: $*" >&2; exit 1; }

# console ROOT REVISION: the options with which git adds the built console, which hosts without Node.js cannot build.
console() {
  local static=services/gateway/src/artcafe_gateway/console/static file
  if [ "$(git -C "$1" rev-parse HEAD)" != "$2" ] || ! make -C "$1" --question dashboard >/dev/null 2>&1; then
    echo "deploy.sh: without the console; to include it, check $2 out and run \`make dashboard\` first" >&2
    return 0
  fi
  (cd "$1/$static" && find . -type f -printf '%P\n') | while read -r file; do
    printf -- '--prefix=%s/ --add-file=%s ' "$(dirname "$static/$file")" "$static/$file"
  done
  printf -- '--prefix= '
}

BUCKET='' HOSTS='' TAG=Service=artcafe NAME='' TIMEOUT=900 ROLL_BACK=no SOURCE=''
while [ $# -gt 0 ]; do
  case $1 in
    --bucket | --hosts | --tag | --name | --timeout)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case $1 in
        --bucket) BUCKET=$2 ;;
        --hosts) HOSTS=$2 ;;
        --tag) TAG=$2 ;;
        --name) NAME=$2 ;;
        --timeout) TIMEOUT=$2 ;;
      esac
      shift 2 ;;
    --roll-back) ROLL_BACK=yes; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; fail "unknown option $1" ;;
    *) [ -z "$SOURCE" ] || fail "name one revision"; SOURCE=$1; shift ;;
  esac
done
[ -n "$SOURCE" ] || { usage >&2; exit 2; }
command -v aws >/dev/null || fail "the AWS command line is not installed"
command -v python3 >/dev/null || fail "python3 is not installed"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

if [ -z "$HOSTS" ]; then
  HOSTS=$(aws ec2 describe-instances --output text --query 'Reservations[].Instances[].InstanceId' --filters \
    "Name=tag:${TAG%%=*},Values=${TAG#*=}" Name=instance-state-name,Values=running)
  [ -n "$HOSTS" ] || fail "no running instance has the tag $TAG"
fi

# Quoted for a shell: the commands run as root.
quote() { printf '%q' "$1"; }
COMMANDS=("set -eu")
RELEASE=/opt/artcafe/artcafe-pubsub/deploy/ec2/release.sh
if [ "$ROLL_BACK" = yes ]; then
  NAME=${NAME:-$SOURCE}
  COMMANDS+=("$RELEASE $(quote "$NAME")")
else
  [ -n "$BUCKET" ] || fail "name the bucket for releases: --bucket"
  TARBALL=$WORK/source.tar.gz
  if [ -f "$SOURCE" ]; then
    cp "$SOURCE" "$TARBALL"
    NAME=${NAME:-$(sha256sum "$TARBALL" | cut -c1-12)}
  else
    ROOT=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
    REVISION=$(git -C "$ROOT" rev-parse --verify --quiet "$SOURCE^{commit}") || fail "$SOURCE is no file and no git revision"
    git -C "$ROOT" archive --format=tar.gz -o "$TARBALL" $(console "$ROOT" "$REVISION") "$REVISION"
    NAME=${NAME:-${REVISION:0:12}}
  fi
  SUM=$(sha256sum "$TARBALL" | cut -d' ' -f1)
  KEY=releases/$NAME-${SUM:0:12}.tar.gz
  aws s3 cp --only-show-errors "$TARBALL" "s3://$BUCKET/$KEY"
  URL=$(aws s3 presign "s3://$BUCKET/$KEY" --expires-in "$URL_VALID_S")
  FILE=/var/tmp/artcafe-$NAME.tar.gz
  COMMANDS+=(
    "curl --silent --show-error --fail --retry 3 --output $(quote "$FILE") $(quote "$URL")"
    "echo $(quote "$SUM  $FILE") | sha256sum --check --quiet"
    "$RELEASE $(quote "$NAME") $(quote "$FILE")"
    "rm -f $(quote "$FILE")"
  )
fi
[[ $NAME =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || fail "a revision's name has letters, digits, dots and dashes: $NAME"
python3 -c 'import json, sys; print(json.dumps({"commands": sys.argv[2:], "executionTimeout": [sys.argv[1]]}))' \
  "$TIMEOUT" "${COMMANDS[@]}" >"$WORK/parameters.json"

invocation() { # invocation COMMAND HOST QUERY
  aws ssm get-command-invocation --command-id "$1" --instance-id "$2" --query "$3" --output text
}

deploy_to() { # deploy_to HOST
  local host=$1 command status deadline=$((SECONDS + TIMEOUT + 60))
  command=$(aws ssm send-command --document-name AWS-RunShellScript --instance-ids "$host" \
    --comment "artcafe $NAME" --timeout-seconds 120 --parameters "file://$WORK/parameters.json" \
    --query Command.CommandId --output text)
  echo "$host: $NAME is being deployed (command $command)"
  while :; do
    # Just after it is sent, the invocation may not be known yet.
    status=$(invocation "$command" "$host" Status 2>/dev/null || echo Pending)
    case $status in
      Pending | InProgress | Delayed) ;;
      *) break ;;
    esac
    [ "$SECONDS" -lt "$deadline" ] || { status="no result after $TIMEOUT s"; break; }
    sleep "$POLL_S"
  done
  invocation "$command" "$host" StandardOutputContent 2>/dev/null | sed "s/^/$host: /"
  [ "$status" = Success ] && return 0
  invocation "$command" "$host" StandardErrorContent 2>/dev/null | sed "s/^/$host: /" >&2
  echo "$host: $status" >&2
  return 1
}

for host in $HOSTS; do
  deploy_to "$host" || fail "$host did not take $NAME; the deployment ends here"
done
echo "$NAME is deployed to: ${HOSTS//$'\n'/ }"
