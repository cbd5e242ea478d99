package main

import "time"

// organisation is one of the two companies of the demo.
type organisation struct {
	key    string // of its directory and in speech
	title  string
	city   string
	zone   string
	people []character
}

// character is somebody who works there. The first of an organisation
// administers its server.
type character struct {
	name, shown string
}

func kobo() organisation {
	return organisation{key: "kobo", title: "Kobo", city: "Tokyo", zone: "Asia/Tokyo", people: []character{
		{"aiko", "Aiko Sato"}, {"kenji", "Kenji Mori"}, {"yuki", "Yuki Tanaka"},
	}}
}

func havel() organisation {
	return organisation{key: "havel", title: "Havel", city: "Berlin", zone: "Europe/Berlin", people: []character{
		{"lena", "Lena Vogel"}, {"jonas", "Jonas Brandt"}, {"miriam", "Miriam Adler"},
	}}
}

const (
	storyChannel = "Kaze sensors for Berlin's schools"
	storyPurpose = "400 CO₂ sensors in 26 schools by February. Kobo builds them and their firmware; Havel mounts them and runs the gateways."
)

// thread is a conversation of the story.
type thread struct {
	title, objective string
	lines            []line
}

// line is one message. Reply counts the lines of its thread from 0; -1 answers
// none.
type line struct {
	at    time.Duration // after 00:00 UTC of the story's first day
	who   string
	reply int
	text  string
}

// at is an instant of the story, in UTC.
func at(day, hour, minute int) time.Duration {
	return time.Duration(day)*24*time.Hour + time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
}

// storyDays is how many days the story covers.
const storyDays = 2

func story() []thread {
	return []thread{driftThread(), rolloutThread(), plasterThread()}
}

func driftThread() thread {
	return thread{
		title:     "CO₂ reads 60–90 ppm high in the morning",
		objective: "Know the cause before the second delivery leaves Yokohama on the 9th.",
		lines: []line{
			{at(0, 9, 12), "jonas", -1, "Since the heating came on at the Schule am Weiher, **7 of 40 sensors** read 60–90 ppm high at the first lesson. By noon they agree with their neighbours again. It has been the same on three mornings.\n\nSerials: K4-1107, 1112, 1115, 1131, 1138, 1140, 1152. Windows were shut, so I compared with the hand-held meter: the other 33 are right.\n\nIs there a term in the calibration that assumes the sensor has been warm for some hours?"},
			{at(1, 0, 48), "kenji", 0, "Good morning from Tokyo. There is, in a way: the baseline is taken once a day at 04:00 by the sensor's own clock, as the lowest value of the night. Those clocks run on UTC; for Japan we set the offset at the factory, for your box nobody did. So in Berlin it is 05:00, just when your heating starts and the board is still cold.\n\nThat explains *high in the morning*. It does not explain why only seven."},
			{at(1, 1, 35), "yuki", 1, "The seven might be mine. All of them are from batch 11, the first with the new foam behind the optical cell. It is 1 mm thicker and keeps the cell about 2 °C colder for the first hours. I have two left from that batch and put them into the climate chamber over lunch: 8 °C for six hours, then 21 °C."},
			{at(1, 7, 50), "yuki", 2, "Result: batch 11 reads **74 ppm** high for the first 2 h 40 min, batch 10 reads 9 ppm high. So it is the foam, and the baseline makes it visible. Log attached to the part's record as CC-2291.\n\nOptions: (a) take the baseline at a quiet hour of the *local* day, (b) thinner foam from batch 13 on. I would do both."},
			{at(1, 8, 26), "jonas", 3, "That fits: 1107 to 1152 are exactly the box that came with the second pallet. (a) would be enough for us, as the gateways know the local time. Can the firmware take the hour from the gateway's configuration frame? It has two reserved bytes."},
			{at(1, 8, 58), "kenji", 4, "Yes. I take byte 14 for the hour and 15 for a check. If it is 0xFF the old behaviour stays, so nothing breaks for the sensors in Osaka. It goes into 2.3; see the other thread for the order of the rollout."},
		},
	}
}

func rolloutThread() thread {
	return thread{
		title:     "Firmware 2.3: order of the rollout, and who watches it",
		objective: "All schools on 2.3 before the holidays, never more than one school at a time without readings.",
		lines: []line{
			{at(0, 6, 5), "aiko", -1, "2.3 is through our own tests: it has the quieter radio and the watchdog for the fan. Lena, I would like to send it to one school first, then five, then the rest. Which school may be first, and who looks at the dashboard while we sleep?"},
			{at(0, 8, 41), "lena", 0, "Grundschule Nord first: 12 sensors, the caretaker knows us, and nobody minds a gap on Thursday afternoon. Jonas watches from 14:00 to 18:00 here. That is night for you, so please leave the rollback command with him."},
			{at(0, 9, 30), "jonas", 1, "Fine with me. I need three things: the image's checksum, how long a sensor stays silent while it writes, and what a *bad* sensor looks like from outside."},
			{at(1, 0, 20), "kenji", 2, "Checksum is in the release note. Silent for 40 to 55 seconds. A bad one reports its old version again after two minutes, because it falls back by itself; three of those in one school and you should stop.\n\nWith the baseline change from the other thread this becomes 2.3.1. I sign it this evening, Tokyo time."},
			{at(1, 8, 33), "lena", 3, "Then let us say: 2.3.1 on Thursday at Nord, the other five on Monday if Thursday was dull. Dull is what I hope for."},
		},
	}
}

func plasterThread() thread {
	return thread{
		title: "Wall plugs do not hold in the old plaster",
		lines: []line{
			{at(0, 10, 20), "miriam", -1, "Two plates came off in the Weiher building, both on the north side. The plaster there is from 1911, lime on reed matting, and crumbles behind the plug. Nothing fell on anybody.\n\nCan the plate be glued, or does the sensor need the air gap that the spacers give?"},
			{at(1, 1, 5), "yuki", 0, "It needs the gap: 6 mm, or the wall's warmth gets into the temperature reading. But the gap may be anything that does not hold heat. Glue four felt pads of 6 mm, plate on the pads. We do it that way on concrete that may not be drilled."},
			{at(1, 7, 15), "miriam", 1, "Felt I have. I will do two rooms that way today and look at them again in a week. If they hold, I need no plugs for the other north rooms either, about 30 plates."},
			{at(1, 7, 40), "yuki", 2, "Then I put 120 pads into the second delivery. They weigh nothing, and it saves you a shop."},
		},
	}
}

// laterLine is a line with the thread of the story that it belongs to.
type laterLine struct {
	thread int
	line
}

// encore is what they go on writing while the demo is watched.
func encore() []laterLine {
	return []laterLine{
		{0, line{who: "jonas", reply: 5, text: "I have set the hour to 03:00 for all 26 gateways; they send it with the next configuration frame. The seven can stay on the wall."}},
		{0, line{who: "kenji", reply: 6, text: "Seen: K4-1107 took it over and reports baseline hour 3. 2.3.1 is signed, checksum in the release note."}},
		{2, line{who: "miriam", reply: 3, text: "The first felt plates are up, rooms 204 and 206. Pulled with 40 N, they do not move."}},
		{1, line{who: "aiko", reply: 4, text: "Agreed: Thursday at Nord, Monday the five. I have told the factory that batch 12 ships with 2.3.1."}},
		{2, line{who: "yuki", reply: 4, text: "40 N is more than our own test asks for. 120 pads are in the box."}},
	}
}
