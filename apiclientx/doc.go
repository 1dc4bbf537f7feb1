// Package apiclientx is the door to the Bottlerocket API of the host that the
// program runs on: HTTP/1.1 over the Unix socket /run/api.sock.
//
// The API answers at once and works in the background: an update action is
// accepted, a child process does it, and its end is seen by asking for the
// update status, which is refused while the child runs. [Do] hides that
// dance; [Client] is the wire under it. The package apitest holds a stand-in
// for the host, without the wire and with it.
package apiclientx
