package server

import (
	"slices"
	"testing"
)

func TestAnAdministratorSeesWhoWouldLikeToBeAPartner(t *testing.T) {
	a, b := newSite(t, ""), newSite(t, "")
	a.start()
	b.start()
	a.mustOperate("partners.add", PartnerChange{Name: b.name}, nil)
	var list PartnerList
	b.mustOperate("partners.list", struct{}{}, &list)
	if !slices.Contains(list.Strangers, a.name) || len(list.Partners) != 0 {
		t.Errorf("%+v", list)
	}
}
