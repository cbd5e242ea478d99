package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"meridian/api"
)

func TestAuthorsAloneAreToldWhichPartnerHasAMessage(t *testing.T) {
	w := newWorld(t, api.Limits{})
	kobo, havel := newSite(t, w), newSite(t, w)
	befriend(kobo, havel)
	ana, eva, jan := kobo.person("ana", false), kobo.person("eva", false), havel.person("jan", false)
	channel := kobo.channel(ana, "Harbour")
	kobo.must(201, ana, "POST", "/channels/"+channel+"/members", object{"address": eva.address})
	kobo.must(202, ana, "POST", "/channels/"+channel+"/members", object{"address": jan.address})
	havel.eventually("in", func() bool {
		var list api.List[api.Invitation]
		havel.must(200, jan, "GET", "/invitations", nil).into(t, &list)
		return len(list.Items) == 1 && havel.send(jan, "POST", "/invitations/"+list.Items[0].ID+"/accept", nil).status == 200
	})
	thread := kobo.thread(ana, channel, "Quay 4")
	authors, others := kobo.resumed(ana, kobo.cursor(ana)), kobo.resumed(eva, kobo.cursor(eva))
	polled := make(chan api.DeliveryChange, 1)
	go func() { polled <- pollForDelivery(kobo, ana) }()
	time.Sleep(100 * time.Millisecond) // the poll waits
	message := kobo.post(ana, thread, "Which of you has it?")

	told := func(e event) (d api.DeliveryChange) {
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	authors.want("message.posted")
	e := authors.want("message.delivery")
	if d := told(e); d.Message != message || d.Channel != channel || d.Partner != havel.name || d.State != "delivered" || e.Notify {
		t.Errorf("told %+v", d)
	}
	var to []api.Delivery
	kobo.must(200, ana, "GET", "/messages/"+message+"/delivery", nil).into(t, &to)
	if len(to) != 1 || to[0].State != "delivered" {
		t.Errorf("told delivered, and asked: %+v", to)
	}
	kobo.eventually("polled", func() bool { // what is told between two polls is not told again
		select {
		case d := <-polled:
			return d.State == "delivered"
		default:
			kobo.post(ana, thread, "And this?")
			authors.want("message.posted")
			e = authors.want("message.delivery")
			time.Sleep(200 * time.Millisecond)
			return false
		}
	})
	// Its cursor is the place where the client was: nothing comes twice after it.
	kobo.post(eva, thread, "Mine.")
	again := kobo.resumed(ana, e.Cursor)
	if next := again.want("message.posted"); next.Cursor == e.Cursor {
		t.Error("the cursor did not move on")
	}
	next := others.any()
	for ; next.Type == "message.posted"; next = others.any() {
	}
	if d := told(next); next.Type != "message.delivery" || d.Message == message {
		t.Errorf("another member is told %+v", d)
	}
}

// pollForDelivery polls until a delivery is told.
func pollForDelivery(s *site, u *user) (d api.DeliveryChange) {
	after := ""
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; {
		var out struct {
			Items []struct {
				Type string
				Data json.RawMessage
			}
			NextCursor string `json:"next_cursor"`
		}
		s.must(200, u, "GET", "/events?wait=10&after="+after, nil).into(s.t, &out)
		after = out.NextCursor
		for _, i := range out.Items {
			if i.Type == "message.delivery" {
				_ = json.Unmarshal(i.Data, &d)
				return d
			}
		}
	}
	return d
}
