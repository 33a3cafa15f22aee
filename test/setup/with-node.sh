#!/bin/sh
# with-node.sh PROFILE COMMAND [ARGUMENT…]: makes the machine ready (prepare.sh) and becomes the command, with a
# Node that is new enough and the packages' commands in PATH.
set -eu
if [ $# -lt 2 ]; then
  echo 'usage: with-node.sh node|build|test|bench COMMAND [ARGUMENT…]' >&2
  exit 2
fi
profile=$1
shift
cd "$(dirname "$0")/../.."
sh test/setup/prepare.sh "$profile"
. test/setup/environment.sh
exec "$@"
