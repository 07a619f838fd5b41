package aws

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/getkeyzero/kz/resolve"
)

// The most that the stores take in one request, and how many requests of one call are
// under way at once: all accounts share 40 a second of a region's parameters.
const (
	mostSecrets    = 20
	mostParameters = 10
	parallel       = 10
)

// fetch asks for all items, those of a region together.
func (s *session) fetch(ctx context.Context, answers map[item]*answer) {
	var jobs []func()
	for _, chunk := range chunks(answers) {
		if s.regional(chunk[0].region) == "" {
			fail(answers, chunk, errNoRegion)
			continue
		}
		jobs = append(jobs, func() { s.ask(ctx, chunk, answers) })
	}
	concurrently(jobs)
}

// chunks parts the items into what one request asks for. Batches of secrets have only
// what is current, and those of parameters one version, by which alone two answers for
// one name differ.
func chunks(answers map[item]*answer) [][]item {
	type kind struct {
		service service
		region  string
		version string
	}
	groups := map[kind][]item{}
	for _, it := range slices.SortedFunc(maps.Keys(answers), compare) {
		k := kind{it.service, it.region, it.version}
		if it.service == manager && !it.plain() {
			k.version = it.id + "?" + it.stage + "?" + it.version
		}
		groups[k] = append(groups[k], it)
	}
	var all [][]item
	for k, group := range groups {
		most := mostParameters
		if k.service == manager {
			most = mostSecrets
		}
		all = slices.AppendSeq(all, slices.Chunk(group, most))
	}
	return all
}

func compare(a, b item) int {
	return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.stage, b.stage), cmp.Compare(a.version, b.version))
}

// concurrently runs the jobs, some at the same time, and returns when all have ended.
func concurrently(jobs []func()) {
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for _, job := range jobs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() {
				_ = recover() // what a crash leaves without an answer has an error from the beginning
				<-slots
			}()
			job()
		})
	}
	wg.Wait()
}

func fail(answers map[item]*answer, items []item, err error) {
	for _, it := range items {
		answers[it].err = err
	}
}

// ask asks for items of one request. Where that as a whole is refused each is asked for
// alone: the right to a batch is one of its own, and SSM refuses all for one.
func (s *session) ask(ctx context.Context, items []item, answers map[item]*answer) {
	var err error
	switch {
	case items[0].service == parameters:
		err = s.getParameters(ctx, items, answers)
	case len(items) > 1:
		err = s.getBatch(ctx, items, answers)
	default:
		it := items[0]
		answers[it].secret, answers[it].err = s.getSecret(ctx, it)
	}
	class := resolve.ClassOf(err)
	if len(items) == 1 || class != resolve.Denied && class != resolve.Malformed {
		if err != nil {
			fail(answers, items, err)
		}
		return
	}
	var jobs []func()
	for _, it := range items {
		jobs = append(jobs, func() { s.ask(ctx, []item{it}, answers) })
	}
	concurrently(jobs)
}

func (s *session) getSecret(ctx context.Context, it item) (resolve.Secret, error) {
	out, err := s.manager(it.region).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &it.id, VersionId: optional(it.version), VersionStage: optional(it.stage),
	})
	switch {
	case err != nil:
		return resolve.Secret{}, s.failure(ctx, err)
	case !isSecret(it, aws.ToString(out.Name), aws.ToString(out.ARN)) || it.version != "" && aws.ToString(out.VersionId) != it.version:
		return resolve.Secret{}, errOther
	}
	return value(out.SecretString, out.SecretBinary)
}

// errOther refuses an answer for another name than the one that was asked for.
var errOther = resolve.Errorf(resolve.Malformed, "the store's answer is for another reference")

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func value(text *string, data []byte) (resolve.Secret, error) {
	switch {
	case text != nil:
		return resolve.NewSecret(*text), nil
	case data != nil:
		return resolve.NewSecret(string(data)), nil
	}
	return resolve.Secret{}, resolve.Errorf(resolve.Malformed, "the store's answer has no value")
}

// isSecret reports whether an item is the secret of a name and an ARN. An ARN can be
// asked for without the hyphen and the six characters that AWS adds at its end.
func isSecret(it item, name, arn string) bool {
	if !it.arn() {
		return it.id == name
	}
	added, ok := strings.CutPrefix(arn, it.id)
	return ok && (added == "" || len(added) == 7 && added[0] == '-')
}

// getBatch asks for current secrets. AWS can throttle some of a batch, or fail at them,
// in an answer that is good for the others: the SDK does not see that, so these are asked
// for again here, at most twice. An error is one of the first request as a whole.
func (s *session) getBatch(ctx context.Context, items []item, answers map[item]*answer) error {
	err := s.getPages(ctx, items, answers)
	again := newRetryer(ctx)
	for try := range 2 {
		if items = passing(items, answers); err != nil || len(items) == 0 || !again.pause(try) {
			break
		}
		_ = s.getPages(ctx, items, answers) // if it fails, what was said of the items stands
	}
	return err
}

// passing returns the items that might have another answer soon.
func passing(items []item, answers map[item]*answer) []item {
	return slices.DeleteFunc(slices.Clone(items), func(it item) bool {
		class := resolve.ClassOf(answers[it].err)
		return class != resolve.Throttled && class != resolve.Unreachable
	})
}

func (s *session) getPages(ctx context.Context, items []item, answers map[item]*answer) error {
	q := &secretsmanager.BatchGetSecretValueInput{}
	for _, it := range items {
		q.SecretIdList = append(q.SecretIdList, it.id)
	}
	pages := secretsmanager.NewBatchGetSecretValuePaginator(s.manager(items[0].region), q)
	for range items { // for each page has at least one
		out, err := pages.NextPage(ctx)
		if err != nil {
			return s.failure(ctx, err)
		}
		for _, v := range out.SecretValues {
			take(items, answers, v)
		}
		s.takeErrors(ctx, items, answers, out.Errors)
		if !pages.HasMorePages() {
			break
		}
	}
	return nil
}

func take(items []item, answers map[item]*answer, v sm.SecretValueEntry) {
	for _, it := range items {
		if isSecret(it, aws.ToString(v.Name), aws.ToString(v.ARN)) {
			answers[it].secret, answers[it].err = value(v.SecretString, v.SecretBinary)
		}
	}
}

func (s *session) takeErrors(ctx context.Context, items []item, answers map[item]*answer, errs []sm.APIErrorType) {
	for _, e := range errs {
		for _, it := range items {
			if it.id == aws.ToString(e.SecretId) {
				answers[it].err = s.failure(ctx, &smithy.GenericAPIError{Code: aws.ToString(e.ErrorCode)})
			}
		}
	}
}

// getParameters asks for parameters. An error is one of the request as a whole.
func (s *session) getParameters(ctx context.Context, items []item, answers map[item]*answer) error {
	q := &ssm.GetParametersInput{WithDecryption: aws.Bool(true)}
	for _, it := range items {
		q.Names = append(q.Names, it.selected())
	}
	out, err := s.parameters(items[0].region).GetParameters(ctx, q)
	if err != nil {
		return s.failure(ctx, err)
	}
	for _, it := range items {
		a := answers[it]
		if slices.Contains(out.InvalidParameters, it.selected()) {
			a.err = resolve.Errorf(resolve.NotFound, "no such parameter, or no such version of it")
		}
		for _, v := range out.Parameters {
			name := aws.ToString(v.Name)
			if it.arn() && name != it.id {
				name = aws.ToString(v.ARN)
			}
			if name == it.id && isVersion(it, v) {
				a.secret, a.err = value(v.Value, nil)
			}
		}
	}
	return nil
}

// isVersion reports whether a parameter is of the version that the item asks for: the
// selector is ":3" where there is one.
func isVersion(it item, v ssmtypes.Parameter) bool {
	if v.Selector == nil && it.version != "" {
		return strconv.FormatInt(v.Version, 10) == it.version
	}
	return strings.TrimPrefix(aws.ToString(v.Selector), ":") == it.version
}

// selected is how SSM is asked for a parameter, or for a version of it.
func (i item) selected() string {
	if i.version == "" {
		return i.id
	}
	return i.id + ":" + i.version
}
