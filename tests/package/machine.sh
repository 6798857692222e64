#!/bin/bash
# A machine within this one, with systemd as its first process: this one's files, under a layer that takes what is written,
# and memory, processes, network and users' directories of its own. It ends, and leaves nothing, when the process that this
# becomes is killed. For tests; as root.
#
# usage: machine.sh SOURCE CACHE DEBS MOUNTPOINT CGROUP
# In it /hour/hog is SOURCE, with DEBS as target/debian; what is written to it is thrown away. /hour/cache is CACHE, and stays.
set -euo pipefail

if [[ $1 != --inside ]]; then
    echo $$ >"$5/cgroup.procs" # what systemd sees as the root of all control groups
    exec unshare --mount --pid --ipc --uts --net --cgroup --fork --kill-child=KILL --propagation private \
        bash "${BASH_SOURCE[0]}" --inside "$@"
fi
source=$2 cache=$3 debs=$4 base=$5
root=$base/root

# One layer over everything, one over the source, whose build directory is another.
mount -t tmpfs hour "$base"
mkdir -p "$base"/{root,upper,work,source/upper,source/work}
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$root"
mkdir -p "$root"/hour/{hog,cache}
mount -t overlay overlay -o "lowerdir=$source,upperdir=$base/source/upper,workdir=$base/source/work" "$root/hour/hog"
mkdir -p "$root/hour/hog/target"
mount -t tmpfs target "$root/hour/hog/target"
mkdir "$root/hour/hog/target/debian"
mount --bind "$debs" "$root/hour/hog/target/debian"
mount --bind "$cache" "$root/hour/cache"
if [[ -d $root/var/lib/hog ]]; then
    mount -t tmpfs hog "$root/var/lib/hog"
fi

# The kernel's own settings are the same for both machines: there is no writing to them.
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs run "$root/run"
mount -t tmpfs tmp "$root/tmp"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
touch "$root/dev/console"
mount --bind /dev/null "$root/dev/console"
mkdir "$root"/dev/{shm,pts}
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ip link set lo up

# Nothing of what this machine would start at boot but the journal.
mkdir -p "$root/run/systemd/system"
printf '[Unit]\nDescription=An hour\nWants=systemd-journald.service\n' >"$root/run/systemd/system/hour.target"

cd "$root"
mkdir -p hour/outside
pivot_root . hour/outside
umount -l /hour/outside
exec setpriv --bounding-set=-sys_module,-sys_rawio,-sys_time,-sys_boot,-syslog,-audit_control,-audit_read,-audit_write \
    env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=hour.target --log-target=journal --show-status=0
