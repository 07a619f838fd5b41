// Vaultserver is a HashiCorp Vault for tests: the core of the real one, with its
// storage in memory, on a free port of the loopback. It prints a line of JSON about
// itself and ends when its standard input does.
//
// It is a module of its own, so that nothing of it becomes a dependency of kz. Version
// 1.14.1 is under the MPL; the replaced sdk is the one that it was released with, and
// with the one that its go.mod names it panics.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	jwt "github.com/hashicorp/vault-plugin-auth-jwt"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/credential/userpass"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// A Greeting is what is printed when the server is ready.
type Greeting struct {
	Address   string `json:"address"`
	CA        string `json:"ca"` // PEM
	RootToken string `json:"root_token"`
	UnsealKey string `json:"unseal_key"` // hexadecimal
}

func main() {
	log.SetFlags(0)
	greeting, err := serve()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(greeting)
	}
	if err != nil {
		log.Fatal("vaultserver: ", err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// serve starts a server that is initialized and unsealed.
func serve() (Greeting, error) {
	core, err := newCore()
	if err != nil {
		return Greeting{}, err
	}
	one := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	made, err := core.Initialize(context.Background(), &vault.InitParams{BarrierConfig: one, RecoveryConfig: one})
	if err != nil {
		return Greeting{}, err
	}
	if ok, err := core.Unseal(slices.Clone(made.SecretShares[0])); err != nil || !ok {
		return Greeting{}, errors.Join(errors.New("stays sealed"), err)
	}
	address, ca, err := listen(vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core}))
	return Greeting{address, ca, made.RootToken, hex.EncodeToString(made.SecretShares[0])}, err
}

var (
	engines = map[string]logical.Factory{"kv": kv.Factory}
	methods = map[string]logical.Factory{
		"approle": approle.Factory, "cert": cert.Factory, "jwt": jwt.Factory,
		"kubernetes": kubernetes.Factory, "userpass": userpass.Factory,
	}
)

func newCore() (*vault.Core, error) {
	quiet := hclog.NewNullLogger()
	storage, err := inmem.NewInmem(nil, quiet)
	if err != nil {
		return nil, err
	}
	return vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		LogicalBackends:    maps.Clone(engines), // to which the core adds its own
		CredentialBackends: maps.Clone(methods),
		BuiltinRegistry:    registry{},
		DisableMlock:       true,
		Logger:             quiet,
	})
}

// registry tells the core which plugins are built in.
type registry struct{}

func of(kind consts.PluginType) map[string]logical.Factory {
	switch kind {
	case consts.PluginTypeSecrets:
		return engines
	case consts.PluginTypeCredential:
		return methods
	}
	return nil
}

func (registry) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	factory, ok := of(kind)[name]
	return func() (interface{}, error) { return factory, nil }, ok
}

func (registry) Contains(name string, kind consts.PluginType) bool { return of(kind)[name] != nil }

func (registry) Keys(kind consts.PluginType) []string { return slices.Sorted(maps.Keys(of(kind))) }

func (registry) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, of(kind)[name] != nil
}

func (registry) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

// listen serves on a free port, and returns its address and the certificate that vouches for it.
func listen(handler http.Handler) (address, ca string, err error) {
	certificate, err := selfSigned()
	if err != nil {
		return "", "", err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequestClientCert, // for the method of that name
	})
	if err != nil {
		return "", "", err
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { log.Fatal("vaultserver: ", server.Serve(listener)) }()
	block := &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}
	return "https://" + listener.Addr().String(), string(pem.EncodeToMemory(block)), nil
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "vaultserver"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
