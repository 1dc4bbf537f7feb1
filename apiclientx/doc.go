// Package apiclientx is the door to the Bottlerocket API of the host that the
// program runs on: HTTP/1.1 over the Unix socket /run/api.sock.
package apiclientx
