// Package hosttest runs the image as Bottlerocket would run it, as root, with
// Debian's containerd and runc and under a systemd of its own. It holds tests
// alone; `make test-host` builds the image and runs them in network, mount and
// process namespaces made for them, so that nothing leaves the machine and
// nothing is left behind on it.
//
// In those namespaces the names and addresses of AWS are the stand-ins': the
// agent gets no setting and no environment variable that it would not get on a
// host, but shorter intervals and the place of the boot id, which no test can
// change in the kernel.
//
// Shorter than on a host is also the time after which an agent that ended is
// started again: 45 s there. Labels (SELinux) are left out.
package hosttest
