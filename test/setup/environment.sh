# Read by the other scripts, in the repository's root: the commands of this repository come first.
PATH=$PWD/.toolchain/node_modules/.bin:$PWD/node_modules/.bin:$PATH
# Where a user's PATH lacks them, as Debian's does.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH
