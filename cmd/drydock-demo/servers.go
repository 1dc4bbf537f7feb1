package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// servers are HTTP servers on free loopback ports.
type servers []*http.Server

// serve starts a server and returns its address as a URL.
func (s *servers) serve(handler http.Handler) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen on the loopback: %w", err)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // killed clients leave broken connections
	}
	*s = append(*s, server)
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String(), nil
}

// close ends the servers and every connection to them.
func (s *servers) close() {
	for _, server := range *s {
		_ = server.Close()
	}
}

// others stands for every AWS service that is not simulated: nothing that
// the agents do may leave this machine. Of STS it is all that an operator's
// command asks, by whom its acts are signed.
func others(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && r.FormValue("Action") == "GetCallerIdentity" {
		_, _ = io.WriteString(w, `<GetCallerIdentityResponse><GetCallerIdentityResult>`+
			`<Arn>arn:aws:iam::111122223333:user/operator</Arn><UserId>AIDA</UserId><Account>111122223333</Account>`+
			`</GetCallerIdentityResult></GetCallerIdentityResponse>`)
		return
	}
	http.Error(w, "not simulated", http.StatusForbidden)
}
