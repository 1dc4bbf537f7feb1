package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/drydock-ecs/drydock/internal/hint"
)

// skewMax is how far the clock may be off. AWS takes signatures of five
// minutes' age; the release's waves and the fleet's windows go by the clock, too.
const skewMax = 2 * time.Minute

// clockMend is what to do about a clock.
const clockMend = "let the host reach its time servers: settings.ntp.time-servers (169.254.169.123 is AWS's own, on every instance)"

// explainWay adds what can be done about an error of the way to AWS: TLS, a
// proxy, a clock. The clock is judged by a certificate's dates, which AWS
// renews long before their end.
func explainWay(err error, now time.Time) error {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return hint.Wrap(fmt.Errorf("%w; this host's clock says %s, and the certificate holds from %s to %s", err,
			now.UTC().Format(time.DateTime), invalid.Cert.NotBefore.UTC().Format(time.DateTime), invalid.Cert.NotAfter.UTC().Format(time.DateTime)), clockMend)
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		text := "no CA certificate here vouches for it"
		if unknown.Cert != nil {
			text = fmt.Sprintf("no CA certificate here vouches for its issuer %q", unknown.Cert.Issuer)
		}
		return hint.Wrap(fmt.Errorf("%w: %s", err, text),
			"if a proxy opens TLS, give the host the proxy's CA certificate: settings.pki.NAME.data, base64 of PEM, and trusted = true (reaches host containers with Bottlerocket 1.28 or later)")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		return hint.Wrap(err, "correct settings.network.https-proxy of the host, or list AWS's endpoints in settings.network.no-proxy")
	}
	return err
}

// skewOf is how far the local clock is ahead of the server's that answered
// between two moments, and whether the answer had a date.
func skewOf(answer *http.Response, asked, answered time.Time) (time.Duration, bool) {
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return 0, false
	}
	return asked.Add(answered.Sub(asked) / 2).Sub(date), true
}

// clockFault says that a clock is wrong; nil when it is not.
func clockFault(skew time.Duration) error {
	if skew.Abs() <= skewMax {
		return nil
	}
	way := "ahead of"
	if skew < 0 {
		way = "behind"
	}
	return hint.Wrap(fmt.Errorf("this host's clock is %s %s that of AWS", skew.Abs().Round(time.Minute), way), clockMend)
}
