#!/bin/sh
# The first process of a guest: it makes the guest usable, then runs each line that comes over the line
# whose name it is given, answers with what that writes, and ends the answer by "@end STATUS".
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
line=${1:-/dev/ttyS1}
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sysfs /sys 2>/dev/null
[ -c /dev/null ] || mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p /dev/shm && mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ip link set lo up 2>/dev/null || python3 - <<'END'
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))
END
if [ -b /dev/vdb ]; then mkdir -p /bench && mount -r /dev/vdb /bench; fi
stty -F "$line" raw -echo 2>/dev/null
exec 3<>"$line"
echo "@up" >&3
while read -r command <&3; do
    sh -c "$command" </dev/null >&3 2>&3 3>&-
    echo "
@end $?" >&3
done
