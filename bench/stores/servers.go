package stores

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// servers stand for five stores: each answers in the form of its public API
// reference, after a delay, over TLS.
type servers struct {
	ca       string // file of the certificate
	addr     map[string]string
	requests atomic.Int64
	list     []*httptest.Server
}

func (s *servers) close() {
	for _, server := range s.list {
		server.Close()
	}
}

// start starts a server for each store, and writes what signs in to them below home.
func start(home string, delay time.Duration) (*servers, error) {
	s := &servers{ca: filepath.Join(home, "ca.pem"), addr: map[string]string{}}
	for name, handler := range map[string]http.HandlerFunc{
		"aws": secretsManager, "hashicorp": keyValue, "gcp": secretManager, "doppler": config, "infisical": raw,
	} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.requests.Add(1)
			time.Sleep(delay)
			w.Header().Set("Content-Type", "application/json")
			handler(w, r)
		}))
		server.EnableHTTP2 = true // as all of these stores have it
		server.StartTLS()
		s.list, s.addr[name] = append(s.list, server), server.URL
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.list[0].Certificate().Raw})
	if err := os.WriteFile(s.ca, block, 0o600); err != nil {
		return s, err
	}
	return s, serviceAccount(filepath.Join(home, "adc.json"), s.addr["gcp"]+"/token")
}

// serviceAccount writes a credential of Google's form for a key that is new.
func serviceAccount(path, tokens string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	data, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p", "client_email": "bench@p.iam.gserviceaccount.com", "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": tokens,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func reply(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func secretsManager(w http.ResponseWriter, r *http.Request) {
	var q struct {
		SecretId     string
		SecretIdList []string
	}
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	value := func(id string) map[string]string {
		return map[string]string{"ARN": "arn:aws:secretsmanager:eu-central-1:1:secret:" + id + "-AbCdEf", "Name": id, "SecretString": "value of " + id}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if q.SecretId != "" {
		reply(w, value(q.SecretId))
		return
	}
	var values []map[string]string
	for _, id := range q.SecretIdList {
		values = append(values, value(id))
	}
	reply(w, map[string]any{"SecretValues": values, "Errors": []any{}})
}

func keyValue(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, "/sys/internal/ui/mounts/") {
		reply(w, map[string]any{"data": map[string]any{"path": "secret/", "type": "kv", "options": map[string]string{"version": "2"}}})
		return
	}
	fields := map[string]string{}
	for i := range 6 {
		fields[fmt.Sprintf("s%d", i)] = r.URL.Path
	}
	reply(w, map[string]any{"data": map[string]any{"data": fields, "metadata": map[string]any{"version": 1}}})
}

func secretManager(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		reply(w, map[string]any{"access_token": "t", "token_type": "Bearer", "expires_in": 3600})
		return
	}
	value := []byte("value of " + r.URL.Path)
	sum := crc32.Checksum(value, crc32.MakeTable(crc32.Castagnoli))
	reply(w, map[string]any{
		"name":    strings.TrimSuffix(strings.TrimPrefix(strings.Replace(r.URL.Path, "latest", "1", 1), "/v1/"), ":access"),
		"payload": map[string]string{"data": base64.StdEncoding.EncodeToString(value), "dataCrc32c": fmt.Sprint(sum)},
	})
}

func config(w http.ResponseWriter, r *http.Request) {
	secrets := map[string]map[string]string{}
	for _, name := range strings.Split(r.URL.Query().Get("secrets"), ",") {
		secrets[name] = map[string]string{"raw": "value", "computed": "value of " + name}
	}
	reply(w, map[string]any{"secrets": secrets, "success": true})
}

func raw(w http.ResponseWriter, _ *http.Request) {
	var secrets []map[string]string
	for i := range 6 {
		secrets = append(secrets, map[string]string{"secretKey": fmt.Sprintf("S%d", i), "secretValue": "value"})
	}
	reply(w, map[string]any{"secrets": secrets, "imports": []any{}})
}
