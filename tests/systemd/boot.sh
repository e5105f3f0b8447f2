#!/usr/bin/env bash
# Boots systemd as PID 1 of fresh namespaces over an overlay of this machine, and runs one check in it.
#
#   boot.sh SCRATCH SOURCE PYTHON VENV    SCRATCH/checks.sh is run in the booted system; its output: SCRATCH/out.log
#
# Nothing is written to the machine: the overlay's upper side is a tmpfs that ends with the namespaces. Called by
# test_boot.py below unshare; needs root.
set -eu
scratch=$1 source=$2 python=$3 venv=$4
root=$scratch/t/root

mount --make-rprivate /
mkdir -p "$scratch/t"
mount -t tmpfs tmpfs "$scratch/t"
mkdir "$scratch/t/up" "$scratch/t/wk" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/t/up,workdir=$scratch/t/wk" "$root"

mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
# Without these three, units with PrivateDevices fail with 226/NAMESPACE.
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue" "$root/dev/hugepages"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/1 "$root/dev/stdout"
touch "$root/dev/console"
mount --bind "$scratch/console.log" "$root/dev/console"
# The booted system must not set this machine's sysctls.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"

# What is tested, where a package would put it.
rm -rf "$root/etc/systemd/system"
mkdir -p "$root/etc/systemd/system" "$root/opt/ppcd" "$root/opt/source" "$root/opt/python" "$root/usr/lib/sysusers.d"
mount --bind "$python" "$root/opt/python"
mount --bind "$venv" "$root/opt/ppcd"
mount --bind "$source" "$root/opt/source"
cp "$scratch"/units/* "$root/etc/systemd/system/"
cp "$source/systemd/ppcd.sysusers" "$root/usr/lib/sysusers.d/ppcd.conf"
chroot "$root" systemd-sysusers ppcd.conf
install -d -m 0750 -o root -g "$(chroot "$root" id -g ppcd)" "$root/etc/ppcd"
install -d -m 0700 "$root/etc/ppcd/credentials"
install -m 0600 "$scratch/credential" "$root/etc/ppcd/credentials/smpp-main"
install -m 0640 -g "$(chroot "$root" id -g ppcd)" "$scratch/ppcd.yaml" "$root/etc/ppcd/ppcd.yaml"
install -m 0755 "$scratch/checks.sh" "$root/opt/checks.sh"
touch "$root/var/log/out.log"
mount --bind "$scratch/out.log" "$root/var/log/out.log"

mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
# Without this the credentials' directory stays empty.
mount --make-rshared /
exec env -i container=ppcd PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --system --unit=checks.target --log-target=console --log-level=info \
    --show-status=0
