package apitest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/drydock-ecs/drydock/apiclientx"
)

// Handler is the host's API over HTTP: its routes, its codes, its errors in
// plain text, its documents in JSON.
func (h *Host) Handler() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern, op string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			respond(w, h.call(r.Context(), op))
		})
	}
	route("GET /os", OpOS)
	route("GET /updates/status", OpStatus)
	route("POST /actions/reboot", OpReboot)
	for _, action := range actions() {
		route("POST /actions/"+string(action), string(action))
	}
	mux.HandleFunc("GET /settings", h.serveSettings)
	return mux
}

func actions() []apiclientx.Action {
	return []apiclientx.Action{apiclientx.Refresh, apiclientx.Prepare, apiclientx.Activate, apiclientx.Deactivate}
}

func (h *Host) serveSettings(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	prefix := query.Get("prefix")
	if query.Has("prefix") && prefix == "" {
		respond(w, complaint(http.StatusBadRequest, "The prefix must not be empty"))
		return
	}
	a := h.call(r.Context(), OpSettings)
	if settings, ok := a.doc.(Settings); ok {
		a.doc = settings.tree(prefix)
	}
	respond(w, a)
}

// respond gives an answer its form. Cutting the connection is what
// http.ErrAbortHandler is for.
func respond(w http.ResponseWriter, a answer) {
	switch {
	case a.cut:
		panic(http.ErrAbortHandler)
	case a.doc != nil:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(a.doc)
	default:
		if a.body != "" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		w.WriteHeader(a.code)
		io.WriteString(w, a.body)
	}
}

// tree is the part of the settings whose keys begin with prefix, without the
// outer "settings", which prefix may have or not.
func (s Settings) tree(prefix string) map[string]map[string]any {
	lock := s.VersionLock
	if lock == "" {
		lock = latest
	}
	flat := map[string]any{
		"updates.seed":         s.Seed,
		"updates.version-lock": lock,
		"updates.ignore-waves": s.IgnoreWaves,
	}
	if s.Cluster != "" {
		flat["ecs.cluster"] = s.Cluster
	}
	prefix = strings.TrimPrefix(strings.TrimPrefix(prefix, "settings"), ".")
	tree := map[string]map[string]any{}
	for key, value := range flat {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		table, leaf, _ := strings.Cut(key, ".")
		if tree[table] == nil {
			tree[table] = map[string]any{}
		}
		tree[table][leaf] = value
	}
	return tree
}
