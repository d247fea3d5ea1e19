# networkd.awk - systemd-networkd's files from a network-config, version 2.
#
# Reads what flatten.awk prints; writes dir/10-seed-ID.network for each entry
# of "ethernets" with its match, dhcp4, dhcp6, addresses, gateway4, gateway6,
# routes, nameservers and mtu.  Anything else there is named and left out.

function add(id, section, line) {
	text[id, section] = text[id, section] line "\n"
}

function yes(value) {
	return value ~ /^(true|yes|on|1)$/
}

BEGIN { FS = "\t" }

{
	sub(/^network\//, "", $1)
	n = split($1, part, "/")
	id = part[2]
	key = part[3]
	value = $2
	if (part[1] == "version" || part[1] == "renderer")
		next
	if (part[1] != "ethernets" || n < 3 || id !~ /^[A-Za-z0-9_.-]+$/) {
		print "firstboot: network-config: " $1 " is not understood and has no effect" > "/dev/stderr"
		next
	}
	ids[id] = 1
	if (key == "match" && part[4] == "macaddress")
		add(id, "Match", "MACAddress=" value)
	else if (key == "match" && part[4] == "name")
		add(id, "Match", "Name=" value)
	else if (key == "dhcp4")
		dhcp4[id] = yes(value)
	else if (key == "dhcp6")
		dhcp6[id] = yes(value)
	else if (key == "addresses")
		add(id, "Network", "Address=" value)
	else if (key == "gateway4" || key == "gateway6")
		add(id, "Network", "Gateway=" value)
	else if (key == "nameservers" && part[4] == "addresses")
		add(id, "Network", "DNS=" value)
	else if (key == "nameservers" && part[4] == "search")
		add(id, "Network", "Domains=" value)
	else if (key == "mtu")
		add(id, "Link", "MTUBytes=" value)
	else if (key == "routes" && part[5] == "to") {
		routes[id, part[4]] = 1
		if (value != "default")
			add(id, "Route" part[4], "Destination=" value)
	} else if (key == "routes" && part[5] == "via") {
		add(id, "Route" part[4], "Gateway=" value)
		routes[id, part[4]] = 1
	} else
		print "firstboot: network-config: " $1 " is not understood and has no effect" > "/dev/stderr"
}

END {
	for (id in ids) {
		file = dir "/10-seed-" id ".network"
		match_text = text[id, "Match"]
		printf "[Match]\n%s", match_text == "" ? "Name=" id "\n" : match_text > file
		if (text[id, "Link"] != "")
			printf "\n[Link]\n%s", text[id, "Link"] > file
		mode = dhcp4[id] ? (dhcp6[id] ? "yes" : "ipv4") : (dhcp6[id] ? "ipv6" : "no")
		printf "\n[Network]\nDHCP=%s\n%s", mode, text[id, "Network"] > file
		for (r in routes) {
			split(r, part, SUBSEP)
			if (part[1] == id)
				printf "\n[Route]\n%s", text[id, "Route" part[2]] > file
		}
		printf "\n[DHCPv4]\nClientIdentifier=mac\n" > file
		close(file)
	}
}
