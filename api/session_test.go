package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"meridian/api"
	"meridian/threads"
)

// withPassword makes a person who can sign in.
func (w *world) withPassword(name, password string) threads.PersonRecord {
	w.t.Helper()
	hash, err := api.HashPassword(password)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := w.store.CreatePerson(context.Background(), threads.NewPerson{
		ID: threads.PersonID(kobo, random16()), Name: name, Password: hash, Created: w.now(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func TestSigningInGivesATokenThatSigningOutRevokes(t *testing.T) {
	w := newWorld(t, api.Limits{})
	w.withPassword("ana", "correct horse")
	for _, name := range []string{"ana", "Ana@" + kobo} {
		a := w.must(201, nil, "POST", "/sessions", object{"name": name, "password": "correct horse"})
		u := &user{w: w, secret: a.text("token")}
		if got := w.must(200, u, "GET", "/me", nil).text("address"); got != "ana@"+kobo {
			t.Errorf("signed in as %q", got)
		}
		w.must(204, u, "DELETE", "/sessions/current", nil)
		w.must(401, u, "GET", "/me", nil)
	}
}

func TestWhichOfNameAndPasswordIsWrongIsNotTold(t *testing.T) {
	w := newWorld(t, api.Limits{})
	shut := w.withPassword("shut", "correct horse")
	w.withPassword("ana", "correct horse")
	if err := w.store.Disable(context.Background(), shut.ID, threads.Act{Who: threads.ByAdmin, At: w.now()}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range []object{
		{"name": "ana", "password": "wrong horse"},
		{"name": "nobody", "password": "correct horse"},
		{"name": "shut", "password": "correct horse"},
		{"name": "a b", "password": "correct horse"},
	} {
		a := w.must(401, nil, "POST", "/sessions", c)
		seen[a.text("code")+a.text("detail")] = true
		if a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("WWW-Authenticate: %q", a.header.Get("WWW-Authenticate"))
		}
	}
	if len(seen) != 1 {
		t.Errorf("answers differ: %v", seen)
	}
}

func TestNoRouteAcceptsACookieOrAnotherScheme(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	for _, headers := range [][]string{
		{"Cookie", "token=" + ana.secret + "; Authorization=" + ana.secret},
		{"Authorization", "Basic " + ana.secret},
		{"Authorization", ana.secret},
		{"Authorization", "Bearer  " + ana.secret},
		{"Authorization", "Bearer " + strings.Repeat("x", 4000)},
	} {
		w.must(401, nil, "GET", "/me", nil, headers...)
	}
	w.must(401, nil, "GET", "/me?access_token="+ana.secret, nil)
	w.must(200, nil, "GET", "/me", nil, "Authorization", "bearer "+ana.secret)
}

func TestARevokedTokenIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana, root := w.user("ana", false), w.user("root", true)
	var made api.NewToken
	w.must(201, ana, "POST", "/me/tokens", object{"label": "program"}).into(t, &made)
	program := &user{w: w, secret: made.Secret}
	w.must(200, program, "GET", "/me", nil)
	w.must(204, ana, "DELETE", "/me/tokens/"+made.ID, nil)
	w.must(401, program, "GET", "/me", nil)
	w.must(200, ana, "GET", "/me", nil)
	w.must(200, root, "PATCH", "/admin/people/"+ana.address, object{"disabled": true})
	w.must(401, ana, "GET", "/me", nil)
}

// T52: a new password ends every session but the one in which it was chosen.
func TestANewPasswordEndsAllOtherSessions(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.withPassword("ana", "correct horse")
		signIn := func(status int, password string) *user {
			a := w.must(status, nil, "POST", "/sessions", object{"name": "ana", "password": password})
			return &user{w: w, secret: a.text("token")}
		}
		here, elsewhere := signIn(201, "correct horse"), signIn(201, "correct horse")
		program := &user{w: w, secret: w.must(201, here, "POST", "/me/tokens", object{"label": "program"}).text("token")}
		l := w.resumed(elsewhere, w.cursor(elsewhere))
		if a := w.must(403, here, "PUT", "/me/password", object{"current": "wrong horse", "new": "battery staple"}); a.text("code") != "wrong_password" {
			t.Errorf("%s", a.raw)
		}
		w.must(422, here, "PUT", "/me/password", object{"current": "correct horse", "new": "short"})
		w.must(200, elsewhere, "GET", "/me", nil)
		w.must(204, here, "PUT", "/me/password", object{"current": "correct horse", "new": "battery staple"})
		if code := l.closed(); code != 4001 {
			t.Errorf("the other session's socket closed with %d", code)
		}
		w.must(401, elsewhere, "GET", "/me", nil)
		w.must(200, here, "GET", "/me", nil)
		w.must(200, program, "GET", "/me", nil)
		signIn(401, "correct horse")
		signIn(201, "battery staple")
	})
}

// T22: a long poll that is pending ends when its token is revoked.
func TestARevokedTokenEndsAPendingLongPoll(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana, root := w.user("ana", false), w.user("root", true)
	answered := make(chan answer)
	cursor := w.cursor(ana)
	go func() { answered <- w.send(ana, "GET", "/events?wait=30&after="+cursor, nil) }()
	time.Sleep(50 * time.Millisecond)
	begun := time.Now()
	w.must(200, root, "PATCH", "/admin/people/"+ana.address, object{"disabled": true})
	if a := <-answered; a.status != 401 || time.Since(begun) > 20*time.Second {
		t.Errorf("%d after %s: %s", a.status, time.Since(begun), a.raw)
	}
}

func TestATokenRevokedElsewhereIsRefusedSoon(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	w.must(200, ana, "GET", "/me", nil)
	if err := w.store.Disable(context.Background(), ana.id, threads.Act{Who: threads.ByAdmin, At: w.now()}); err != nil {
		t.Fatal(err)
	}
	w.ahead.Add(int64(4 * time.Second))
	w.must(401, ana, "GET", "/me", nil)
}

func TestATokenMadeTwiceUnderOneKeyIsTheSame(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana, ben := w.user("ana", false), w.user("ben", false)
	key := []string{"Idempotency-Key", "k1"}
	one := w.must(201, ana, "POST", "/me/tokens", object{"label": "program"}, key...)
	two := w.must(201, ana, "POST", "/me/tokens", object{"label": "program"}, key...)
	if one.text("token") != two.text("token") || one.text("id") != two.text("id") {
		t.Error("repeating the request made another token")
	}
	w.must(409, ana, "POST", "/me/tokens", object{"label": "other"}, key...)
	if w.must(201, ben, "POST", "/me/tokens", object{"label": "program"}, key...).text("token") == one.text("token") {
		t.Error("two people got one token")
	}
	w.must(200, &user{w: w, secret: two.text("token")}, "GET", "/me", nil)
}

func TestRatesAreLimitedForEachPersonAndAddress(t *testing.T) {
	w := newWorld(t, api.Limits{PersonRate: 1, AnonymousRate: 2})
	ana, ben := w.user("ana", false), w.user("ben", false)
	limited := func(u *user, path string, atMost int) {
		t.Helper()
		for n := range atMost + 2 {
			a := w.send(u, "GET", path, nil)
			if a.status != 429 {
				continue
			}
			if n < atMost-3 || a.header.Get("Retry-After") == "" || a.text("code") != "too_many_requests" {
				t.Errorf("refused after %d requests, Retry-After %q: %s", n, a.header.Get("Retry-After"), a.raw)
			}
			return
		}
		t.Errorf("%s was never refused", path)
	}
	w.must(200, ben, "GET", "/me", nil)
	limited(ana, "/me", 10)
	w.must(200, ben, "GET", "/me", nil) // the other's limit is another
	limited(nil, "/server", 20)
	w.ahead.Add(int64(3 * time.Second))
	w.must(200, ana, "GET", "/me", nil)
}

func TestGuessingTokensCostsWhatBeingNobodyCosts(t *testing.T) {
	w := newWorld(t, api.Limits{AnonymousRate: 1})
	refused := false
	for range 12 {
		refused = w.send(&user{w: w, secret: "guess"}, "GET", "/me", nil).status == 429 || refused
	}
	if !refused {
		t.Error("12 guesses at once were all looked up")
	}
}

func TestSigningInIsTriedAFewTimesAMinute(t *testing.T) {
	w := newWorld(t, api.Limits{SignIns: 2, PasswordChecks: 1})
	w.withPassword("ana", "correct horse")
	guess := object{"name": "ana", "password": "wrong horse"}
	w.must(401, nil, "POST", "/sessions", guess)
	w.must(401, nil, "POST", "/sessions", guess)
	w.must(429, nil, "POST", "/sessions", guess)
	w.ahead.Add(int64(time.Minute))
	w.must(201, nil, "POST", "/sessions", object{"name": "ana", "password": "correct horse"})
}

func TestNeitherLogsNorProblemsRepeatWhatWasSent(t *testing.T) {
	w := newWorld(t, api.Limits{})
	ana := w.user("ana", false)
	channel := w.channel(ana, "Harbour")
	thread := w.thread(ana, channel, "canary-title")
	w.post(ana, thread, "canary-body")
	for _, a := range []answer{
		w.send(nil, "POST", "/sessions", object{"name": "canary-name", "password": "canary-password"}),
		w.send(nil, "POST", "/sessions", object{"name": 7, "password": []string{"canary-password"}}),
		w.send(nil, "POST", "/sessions", `{"name":"canary-name","password":"canary-password"`),
		w.send(ana, "POST", "/channels", object{"name": strings.Repeat("canary-long", 100)}),
		w.send(ana, "POST", "/channels", object{"name": "x", "kind": "canary-kind"}),
		w.send(ana, "PATCH", "/me", object{"zone": "canary-zone"}),
		w.send(ana, "GET", "/search?q=x&limit=canary-limit", nil),
		w.send(ana, "GET", "/events?after=canary-cursor", nil),
		w.send(&user{w: w, secret: "canary-token"}, "GET", "/me", nil),
		w.send(ana, "GET", "/messages/canary-id", nil),
	} {
		if a.status < 400 || a.status >= 500 || strings.Contains(string(a.raw), "canary") {
			t.Errorf("%d %s", a.status, a.raw)
		}
	}
	if log := w.logged.String(); strings.Contains(log, "canary") || strings.Contains(log, ana.secret) {
		t.Errorf("the log tells: %s", log)
	} else if !strings.Contains(log, "/api/v1/threads/{id}/messages") {
		t.Error("the log does not tell the routes")
	}
}
