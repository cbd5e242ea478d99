package threads

import "testing"

func TestAMemberMayLeaveAnArchivedChannelAndDoNothingElseThere(t *testing.T) {
	acme := newActor(t, "acme.example")
	ana, ben := acme.person("ana"), acme.person("ben")
	c, _ := created(acme, ana)
	acme.must(c, ana, Join{Channel: c.ID, Person: ben, Role: RoleMember})
	archived := true
	acme.must(c, ana, ChangeSettings{Channel: c.ID, Archived: &archived})

	if _, err := acme.do(c, ben, StartThread{Channel: c.ID, Content: title("Quay 4")}); err == nil {
		t.Error("a thread was started in an archived channel")
	}
	acme.must(c, ben, RemoveMember{Channel: c.ID, Person: ben})
	if role := c.Role(ben); role != RoleNone {
		t.Errorf("who left is still %s", role)
	}
	if _, err := acme.do(c, ana, RemoveMember{Channel: c.ID, Person: ana}); err == nil {
		t.Error("the last owner left")
	}
}
